package otlp

// schemas are Export{Trace,Metrics,Logs}ServiceRequest of opentelemetry-proto
// v1.11. A test compares them, field by field, with the descriptors of the
// official types.
var schemas = buildSchemas()

func buildSchemas() [NumSignals]*message {
	var kv, value, array, kvlist, entity, resource, scope message
	kv.define("KeyValue",
		str(1, "key"), msg(2, "value", &value), scalar(3, "key_strindex"))
	value.define("AnyValue",
		str(1, "string_value"), scalar(2, "bool_value"), scalar(3, "int_value"), scalar(4, "double_value"),
		msg(5, "array_value", &array), msg(6, "kvlist_value", &kvlist), scalar(7, "bytes_value"),
		scalar(8, "string_value_strindex"))
	array.define("ArrayValue", msg(1, "values", &value).rep())
	kvlist.define("KeyValueList", attributes(1, "values", &kv))
	entity.define("EntityRef",
		str(1, "schema_url"), str(2, "type"), str(3, "id_keys").rep(), str(4, "description_keys").rep())
	resource.define("Resource",
		attributes(1, "attributes", &kv), scalar(2, "dropped_attributes_count"), msg(3, "entity_refs", &entity).rep())
	scope.define("InstrumentationScope",
		str(1, "name"), str(2, "version"), attributes(3, "attributes", &kv), scalar(4, "dropped_attributes_count"))

	// envelope makes request, resource and scope level around the items.
	envelope := func(request, resourceX, resourceXs, scopeX, scopeXs string, items field) *message {
		var req, res, sc message
		req.define(request, msg(1, resourceXs, &res).rep())
		res.define(resourceX, msg(1, "resource", &resource), msg(2, scopeXs, &sc).rep(), str(3, "schema_url"))
		sc.define(scopeX, msg(1, "scope", &scope), items, str(3, "schema_url"))
		return &req
	}
	return [NumSignals]*message{
		Traces: envelope("ExportTraceServiceRequest", "ResourceSpans", "resource_spans",
			"ScopeSpans", "scope_spans", item(2, "spans", spanSchema(&kv))),
		Metrics: envelope("ExportMetricsServiceRequest", "ResourceMetrics", "resource_metrics",
			"ScopeMetrics", "scope_metrics",
			field{num: 2, name: "metrics", wire: 2, op: opMetric, sub: metricSchema(&kv), repeated: true}),
		Logs: envelope("ExportLogsServiceRequest", "ResourceLogs", "resource_logs",
			"ScopeLogs", "scope_logs", item(2, "log_records", logSchema(&kv, &value))),
	}
}

func spanSchema(kv *message) *message {
	var span, event, link, status message
	span.define("Span",
		scalar(1, "trace_id"), scalar(2, "span_id"), str(3, "trace_state"), scalar(4, "parent_span_id"),
		str(5, "name"), scalar(6, "kind"), timeA(7, "start_time_unix_nano"), timeB(8, "end_time_unix_nano"),
		attributes(9, "attributes", kv), scalar(10, "dropped_attributes_count"),
		msg(11, "events", &event).rep(), scalar(12, "dropped_events_count"),
		msg(13, "links", &link).rep(), scalar(14, "dropped_links_count"), msg(15, "status", &status),
		scalar(16, "flags"))
	event.define("Span.Event",
		scalar(1, "time_unix_nano"), str(2, "name"), attributes(3, "attributes", kv),
		scalar(4, "dropped_attributes_count"))
	link.define("Span.Link",
		scalar(1, "trace_id"), scalar(2, "span_id"), str(3, "trace_state"), attributes(4, "attributes", kv),
		scalar(5, "dropped_attributes_count"), scalar(6, "flags"))
	status.define("Status", str(2, "message"), scalar(3, "code"))
	return &span
}

func logSchema(kv, value *message) *message {
	var record message
	record.define("LogRecord",
		timeA(1, "time_unix_nano"), scalar(2, "severity_number"), str(3, "severity_text"), msg(5, "body", value),
		attributes(6, "attributes", kv), scalar(7, "dropped_attributes_count"), scalar(8, "flags"),
		scalar(9, "trace_id"), scalar(10, "span_id"), timeB(11, "observed_time_unix_nano"), str(12, "event_name"))
	return &record
}

func metricSchema(kv *message) *message {
	var metric, exemplar, number, histogram, exponential, buckets, summary, quantile message
	exemplar.define("Exemplar",
		scalar(2, "time_unix_nano"), scalar(3, "as_double"), scalar(4, "span_id"), scalar(5, "trace_id"),
		scalar(6, "as_int"), attributes(7, "filtered_attributes", kv))
	number.define("NumberDataPoint",
		scalar(2, "start_time_unix_nano"), timeA(3, "time_unix_nano"), scalar(4, "as_double"),
		msg(5, "exemplars", &exemplar).rep(), scalar(6, "as_int"), attributes(7, "attributes", kv), scalar(8, "flags"))
	histogram.define("HistogramDataPoint",
		scalar(2, "start_time_unix_nano"), timeA(3, "time_unix_nano"), scalar(4, "count"), scalar(5, "sum"),
		packed(6, "bucket_counts", opPacked64), packed(7, "explicit_bounds", opPacked64),
		msg(8, "exemplars", &exemplar).rep(), attributes(9, "attributes", kv), scalar(10, "flags"),
		scalar(11, "min"), scalar(12, "max"))
	buckets.define("ExponentialHistogramDataPoint.Buckets",
		scalar(1, "offset"), packed(2, "bucket_counts", opPackedVarint))
	exponential.define("ExponentialHistogramDataPoint",
		attributes(1, "attributes", kv), scalar(2, "start_time_unix_nano"), timeA(3, "time_unix_nano"),
		scalar(4, "count"), scalar(5, "sum"), scalar(6, "scale"), scalar(7, "zero_count"),
		msg(8, "positive", &buckets), msg(9, "negative", &buckets), scalar(10, "flags"),
		msg(11, "exemplars", &exemplar).rep(), scalar(12, "min"), scalar(13, "max"), scalar(14, "zero_threshold"))
	quantile.define("SummaryDataPoint.ValueAtQuantile", scalar(1, "quantile"), scalar(2, "value"))
	summary.define("SummaryDataPoint",
		scalar(2, "start_time_unix_nano"), timeA(3, "time_unix_nano"), scalar(4, "count"), scalar(5, "sum"),
		msg(6, "quantile_values", &quantile).rep(), attributes(7, "attributes", kv), scalar(8, "flags"))

	data := func(num uint32, name, kind string, point *message, more ...field) field {
		var m message
		m.define(kind, append(more, item(1, "data_points", point))...)
		return field{num: num, name: name, wire: 2, op: opData, sub: &m}
	}
	temporality := scalar(2, "aggregation_temporality")
	metric.define("Metric",
		str(1, "name"), str(2, "description"), str(3, "unit"),
		data(5, "gauge", "Gauge", &number),
		data(7, "sum", "Sum", &number, temporality, scalar(3, "is_monotonic")),
		data(9, "histogram", "Histogram", &histogram, temporality),
		data(10, "exponential_histogram", "ExponentialHistogram", &exponential, temporality),
		data(11, "summary", "Summary", &summary),
		attributes(12, "metadata", kv))
	return &metric
}
