package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/penstock-otel/penstock/conformance"
)

// options are what the flags say.
type options struct {
	conformance.Config
	tls                       tlsFlags
	output                    string
	metricsURL, metric        string
	list, compare, noProgress bool
	compared                  []string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	var rows, signals string
	f := flag.NewFlagSet("otlp-conformance", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.GRPC, "grpc", "", "host:port of the endpoint's OTLP/gRPC")
	f.StringVar(&o.HTTP, "http", "", "base URL of the endpoint's OTLP/HTTP, http or https")
	o.tls.add(f)
	f.Func("header", "name=value of a header for every request; may be given again", func(v string) error {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return errors.New("want name=value")
		}
		o.Header = append(o.Header, conformance.Header{Name: name, Value: value})
		return nil
	})
	f.StringVar(&signals, "signals", "", "signals to ask for, with commas (default traces,metrics,logs)")
	f.StringVar(&rows, "rows", "", "rows to run, by id or letter, with commas (default all)")
	f.StringVar(&o.BackendGRPC, "backend-grpc", "", "address to listen on, to which the endpoint exports over gRPC")
	f.StringVar(&o.BackendHTTP, "backend-http", "", "address to listen on, to which the endpoint exports over HTTP")
	f.DurationVar(&o.Timeout, "timeout", 0, "bound of each exchange with the endpoint (default 20s)")
	f.DurationVar(&o.Patience, "patience", 0, "how long something that has to arrive is waited for (default 1m)")
	f.DurationVar(&o.Quiet, "quiet", 0, "how long something that must not come again is watched for (default 5s)")
	f.Int64Var(&o.MaxRequestBytes, "max-request-bytes", 0, "the endpoint's limit on requests (default 64 MiB)")
	f.Int64Var(&o.RejectedItemBytes, "rejected-item-bytes", 0, "size of one item that the endpoint rejects while it takes others beside it")
	f.Int64Var(&o.ClientMaxBytes, "client-max-bytes", 0, "limit on requests that the endpoint has as a client")
	f.BoolVar(&o.Overload, "overload", false, "drive the endpoint into overload")
	f.IntVar(&o.StopPID, "stop-pid", 0, "process of the endpoint, to be ended by SIGTERM in the last row")
	f.StringVar(&o.metricsURL, "metrics-url", "", "URL of the endpoint's own metrics in Prometheus text")
	f.StringVar(&o.metric, "undelivered-metric", "", "regular expression of the series that count undelivered data")
	f.StringVar(&o.output, "o", "table", "table, json or junit")
	f.BoolVar(&o.noProgress, "no-progress", false, "do not print each row to standard error as it begins")
	f.BoolVar(&o.list, "list", false, "print the rows and end")
	f.BoolVar(&o.compare, "compare", false, "print the JSON reports given as arguments side by side, as Markdown, and end")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.Rows, o.Signals, o.compared = split(rows), split(signals), f.Args()
	switch {
	case o.output != "table" && o.output != "json" && o.output != "junit":
		return nil, fmt.Errorf("-o is %q: want table, json or junit", o.output)
	case o.compare && len(o.compared) == 0:
		return nil, errors.New("-compare wants reports in JSON")
	case !o.compare && len(o.compared) > 0:
		return nil, fmt.Errorf("argument %q: everything is a flag, see -help", o.compared[0])
	case (o.metricsURL == "") != (o.metric == ""):
		return nil, errors.New("-metrics-url and -undelivered-metric go together")
	}
	return o, nil
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
