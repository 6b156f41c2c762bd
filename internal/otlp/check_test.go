package otlp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// differ states what Check promises, for one input. It does not change b.
func differ(t testing.TB, sig Signal, b []byte) {
	t.Helper()
	own := bytes.Clone(b)
	got, err := Check(sig, own, CheckOptions{})
	want, officialErr := officialInfo(sig, b)
	switch {
	case officialErr == nil && err != nil:
		t.Fatalf("%s %x: the official decoder accepts, Check says %v", sig, b, err)
	case officialErr == nil && (got != want || !bytes.Equal(own, b)):
		t.Fatalf("%s %x: Check finds %+v (changed: %v), the official decoder %+v", sig, b, got, !bytes.Equal(own, b), want)
	case officialErr != nil && err == nil:
		want, repairedErr := officialInfo(sig, own)
		if repairedErr != nil {
			t.Fatalf("%s %x: Check accepts, the official decoder says %v, after repair %v", sig, b, officialErr, repairedErr)
		}
		if got.Repaired == 0 {
			t.Fatalf("%s %x: repaired and not counted (%v)", sig, b, officialErr)
		}
		want.Repaired = got.Repaired
		if got != want {
			t.Fatalf("%s %x: Check finds %+v, the official decoder %+v", sig, b, got, want)
		}
		again, err := Check(sig, bytes.Clone(own), CheckOptions{})
		want.Repaired = 0
		if err != nil || again != want {
			t.Fatalf("%s %x: a repaired request is not clean: %+v, %v", sig, own, again, err)
		}
	}
	strict, err := Check(sig, bytes.Clone(b), CheckOptions{RejectUTF8: true})
	if (err == nil) != (officialErr == nil) {
		t.Fatalf("%s %x: with RejectUTF8 Check says %v, the official decoder %v", sig, b, err, officialErr)
	}
	if err == nil && strict != got {
		t.Fatalf("%s %x: RejectUTF8 finds %+v, else %+v", sig, b, strict, got)
	}
	var m *Malformed
	if err != nil && (!errors.As(err, &m) || m.Offset < 0 || m.Offset > len(b) || m.Problem == "") {
		t.Fatalf("%s %x: error %#v", sig, b, err)
	}
}

func TestCheckFindsWhatTheOfficialDecoderFinds(t *testing.T) {
	for _, sig := range Signals {
		differ(t, sig, nil)
		for seed := range uint64(20) {
			b := fullRequest(t, sig, seed, 7)
			differ(t, sig, b)
			if i, err := Check(sig, b, CheckOptions{}); err != nil || i.Items == 0 || i.MinTime == 0 || i.MaxTime == 0 {
				t.Errorf("%s seed %d: %+v, %v", sig, seed, i, err)
			}
		}
	}
}

// field is a length-delimited field.
func lenField(num protowire.Number, parts ...string) string {
	body := strings.Join(parts, "")
	return string(protowire.AppendString(protowire.AppendTag(nil, num, protowire.BytesType), body))
}

func fixedField(num protowire.Number, v uint64) string {
	return string(protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), v))
}

// nest wraps body into n times the fields given, outermost first.
func nest(n int, body string, nums ...protowire.Number) string {
	size := len(body)
	var sizes []int // of the bodies, innermost first
	for i := n*len(nums) - 1; i >= 0; i-- {
		sizes = append(sizes, size)
		size += protowire.SizeTag(nums[i%len(nums)]) + protowire.SizeVarint(uint64(size))
	}
	var out []byte
	for i := range n * len(nums) {
		out = protowire.AppendTag(out, nums[i%len(nums)], protowire.BytesType)
		out = protowire.AppendVarint(out, uint64(sizes[len(sizes)-1-i]))
	}
	return string(out) + body
}

func groups(num protowire.Number, n int) string {
	start := protowire.AppendTag(nil, num, protowire.StartGroupType)
	end := protowire.AppendTag(nil, num, protowire.EndGroupType)
	return strings.Repeat(string(start), n) + strings.Repeat(string(end), n)
}

func span(fields ...string) string { return lenField(1, lenField(2, lenField(2, fields...))) }

var overlong = strings.Repeat("\xff", 9)

// wireCases are requests of traces, if their name does not say otherwise.
// problem is "" for what must be accepted.
var wireCases = []struct {
	name    string
	sig     Signal
	b       string
	problem string // part of the error
}{
	{"empty", Traces, "", ""},
	{"empty resource", Traces, "\x0a\x00", ""},
	{"unknown field", Traces, lenField(99, "\xff\xff"), ""},
	{"known number, other wire type", Traces, "\x08\x01", ""},
	{"tag in two bytes where one would do", Traces, "\x8a\x00\x00", ""},
	{"tag in ten bytes", Traces, "\x8a" + strings.Repeat("\x80", 8) + "\x00\x00", ""},
	{"length in ten bytes", Traces, "\x0a\x80" + strings.Repeat("\x80", 8) + "\x00", ""},
	{"largest varint", Traces, "\x10" + overlong + "\x01", ""},
	{"largest field number", Traces, string(protowire.AppendTag(nil, protowire.MaxValidNumber, protowire.VarintType)) + "\x00", ""},
	{"span.flags", Traces, span("\x85\x01abcd"), ""},
	{"last start time counts", Traces, span(fixedField(7, 5), fixedField(7, 0), fixedField(8, 9)), ""},
	{"unknown group", Traces, groups(5, 3), ""},
	{"group in the place of a message", Traces, "\x0b\x10\x01\x0c", ""},
	{"group holds fixed32, fixed64, bytes", Traces, "\x2b\x0dabcd\x09abcdefgh\x12\x01\xff\x2c", ""},
	{"group with a number beyond the limit of messages", Traces, "\x2b" + string(protowire.AppendVarint(nil, (1<<31-1)<<3)) + "\x00\x2c", ""},
	{"groups as deep as allowed", Traces, groups(5, maxGroupDepth), ""},
	{"groups as deep as allowed, within a span", Traces, span(groups(5, maxGroupDepth)), ""},
	{"values as deep as allowed", Logs, lenField(1, lenField(2, lenField(2, nest((maxDepth-4-1)/2, "", 5, 1), lenField(5, nest((maxDepth-4-1)/2, "", 5, 1))))), ""},
	{"packed and unpacked fixed64", Metrics, point(9, lenField(6, "12345678"), fixedField(6, 1), lenField(7, "12345678abcdefgh"), fixedField(7, 1)), ""},
	{"packed and unpacked varint", Metrics, point(10, lenField(8, lenField(2, "\x01\x80\x01"), "\x10\x05")), ""},
	{"empty packed", Metrics, point(10, lenField(8, lenField(2))), ""},
	{"a gauge replaced by a sum", Metrics, metric(data(5, 11), data(7, 12, 13)), ""},
	{"a gauge replaced by an empty sum", Metrics, metric(data(5, 11), data(7)), ""},
	{"gauge, sum, gauge", Metrics, metric(data(5, 11), data(7, 12), data(5, 13)), ""},
	{"a gauge twice is merged", Metrics, metric(data(5, 11), data(5, 12)), ""},
	{"a sum of the wrong wire type replaces nothing", Metrics, metric(data(5, 11), "\x38\x01"), ""},
	{"two metrics of different kinds", Metrics, lenField(1, lenField(2, lenField(2, data(5, 11)), lenField(2, data(7, 12)))), ""},
	{"log with observed time alone", Logs, span(fixedField(11, 5)), ""},
	{"log with both times", Logs, span(fixedField(1, 9), fixedField(11, 5)), ""},

	{"cut tag", Traces, "\x8a", "tag is cut short"},
	{"overlong tag", Traces, overlong + "\x02", "tag is a varint of more than 64 bits"},
	{"overlong by continuation", Traces, "\x10" + overlong + "\xff\x01", "value is a varint of more than 64 bits"},
	{"field number 0", Traces, "\x00\x00", "field number 0 is outside"},
	{"field number 0 in two bytes", Traces, "\x80\x00\x00", "field number 0 is outside"},
	{"field number too large", Traces, string(protowire.AppendVarint(nil, 1<<32)) + "\x00", "field number 536870912 is outside"},
	{"cut varint", Traces, "\x10\x80", "value is cut short"},
	{"cut fixed64", Traces, "\x11abcdefg", "8 bytes are wanted and 7 are left"},
	{"cut fixed32", Traces, "\x15abc", "4 bytes are wanted and 3 are left"},
	{"cut length", Traces, "\x0a", "length is cut short"},
	{"cut long length", Traces, "\x0a\x80", "length is cut short"},
	{"length beyond", Traces, "\x0a\x02\x00", "length 2 exceeds the 1 bytes left"},
	{"long length beyond", Traces, "\x0a\x80\x02\x00", "length 256 exceeds the 1 bytes left"},
	{"length beyond 2^63", Traces, "\x0a" + overlong + "\x01", "length 18446744073709551615 exceeds the 0 bytes left"},
	{"length beyond the parent, within the request", Traces, "\x0a\x02\x0a\x01\x00", "length 1 exceeds the 0 bytes left"},
	{"wire type 6", Traces, "\x0e", "wire type 6 of field 1 is reserved"},
	{"wire type 7", Traces, "\x8f\x02", "wire type 7 of field 33 is reserved"},
	{"end without start", Traces, "\x0c", "end of group 1, which is not open"},
	{"group without end", Traces, "\x0b", "group 1 has no end"},
	{"group ended as another", Traces, "\x0b\x14", "group 1 is ended as group 2"},
	{"group not ended within its message", Traces, lenField(1, "\x0b") + "\x0c", "group 1 has no end"},
	{"group with field number 0", Traces, "\x0b\x00\x00\x0c", "field number 0 within group 1"},
	{"group with a number too large", Traces, "\x2b" + string(protowire.AppendVarint(nil, (1<<31)<<3)) + "\x00\x2c", "field number 2147483648 within group 5"},
	{"group with a reserved wire type", Traces, "\x0b\x0e\x0c", "field 1 of wire type 6 within group 1"},
	{"group with a cut field", Traces, "\x0b\x11abc", "field 2 of wire type 1 within group 1 is cut short"},
	{"group with a cut length", Traces, "\x0b\x12\x05abc", "field 2 of wire type 2 within group 1 is cut short"},
	{"groups too deep", Traces, groups(5, maxGroupDepth+1), "groups are nested deeper than 10001"},
	{"values too deep", Logs, lenField(1, lenField(2, lenField(2, lenField(5, nest(maxDepth/2, "", 5, 1))))), "messages are nested deeper than 10000"},
	{"packed fixed64 of 7 bytes", Metrics, point(9, lenField(6, "1234567")), "7 bytes of packed 8-byte values"},
	{"packed varint cut", Metrics, point(10, lenField(8, lenField(2, "\x01\x80"))), "packed value is cut short"},
	{"a bad point in a gauge that is replaced", Metrics, metric(lenField(5, lenField(1, "\x00")), data(7, 1)), "field number 0"},
}

func metric(data ...string) string { return lenField(1, lenField(2, lenField(2, data...))) }
func point(kind protowire.Number, fields ...string) string {
	return metric(lenField(kind, lenField(1, fields...)))
}

// data is a member of a metric's oneof with a point for each time.
func data(kind protowire.Number, times ...uint64) string {
	var points []string
	for _, t := range times {
		points = append(points, lenField(1, fixedField(3, t)))
	}
	return lenField(kind, points...)
}

func TestCheckOnTheWire(t *testing.T) {
	for _, c := range wireCases {
		t.Run(c.name, func(t *testing.T) {
			differ(t, c.sig, []byte(c.b))
			_, err := Check(c.sig, []byte(c.b), CheckOptions{})
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%v, want %q", err, c.problem)
			}
		})
	}
}

// Both sides of each limit, against the official decoder, on each kind of way
// down.
func TestCheckDepthIsTheOfficialOne(t *testing.T) {
	for extra := -3; extra <= 3; extra++ {
		deep := nest((maxDepth-4)/2+extra, "", 5, 1)
		differ(t, Logs, []byte(lenField(1, lenField(2, lenField(2, lenField(5, deep))))))
		differ(t, Logs, []byte(lenField(1, lenField(2, lenField(2, lenField(5, lenField(5, deep)))))))
		kv := nest((maxDepth-4)/3+extra, "", 2, 6, 1)
		differ(t, Traces, []byte(span(lenField(9, kv))))
		differ(t, Traces, []byte(span(lenField(9, kv, lenField(2)))))
		plain := nest((maxDepth-4)/3+extra, lenField(1, "k")+lenField(2, lenField(1, "v")), 2, 6, 1)
		differ(t, Traces, []byte(lenField(1, lenField(1, lenField(1, plain)))))
		differ(t, Traces, []byte(span(lenField(9, plain))))
		differ(t, Traces, []byte(span(lenField(11, lenField(3, plain)))))
		differ(t, Traces, []byte(lenField(1, groups(9, maxGroupDepth+extra))))
	}
}

func TestCheckSaysWhere(t *testing.T) {
	bad := lenField(2, "\x11abc")
	good := lenField(2)
	for _, c := range []struct {
		sig     Signal
		b, want string
	}{
		{Traces, lenField(1) + lenField(1, good, lenField(2, good, good, bad)), "resource_spans[1].scope_spans[1].spans[2].span_id: 8 bytes are wanted and 3 are left at byte 14"},
		{Traces, lenField(1, "\x12\x7f"), "resource_spans[0].scope_spans: length 127 exceeds the 0 bytes left at byte 2"},
		{Traces, "\x8a", "request: tag is cut short at byte 0"},
		{Traces, groups(7, 2) + "\x10\x01" + "\x0a", "resource_spans: length is cut short at byte 6"},
		{Traces, lenField(99, "a") + "\xf0\x07", "field 126: value is cut short at byte 4"},
		{Metrics, metric(lenField(5, lenField(1, lenField(7, "\x0b")))), "resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].attributes[0].key: group 1 has no end at byte 12"},
	} {
		_, err := Check(c.sig, []byte(c.b), CheckOptions{})
		if err == nil || err.Error() != c.want {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
	_, err := Check(Logs, []byte(lenField(1, lenField(2, lenField(2, lenField(5, nest(100, "\x00", 5, 1)))))), CheckOptions{})
	if text := err.Error(); !strings.Contains(text, ".array_value.values[0]....: field number 0") {
		t.Errorf("a deep path is not cut: %s", text)
	}
}

func TestCheckRepairsStrings(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"grüße, 世界 \U0001f600", "grüße, 世界 \U0001f600"},
		{"\xff", "?"},
		{"a\xc3", "a?"},
		{"\xc3\x28", "?("},
		{"\xe4\xb8", "??"},
		{"\xed\xa0\x80", "???"},                // surrogate
		{"\xf4\x90\x80\x80", "????"},           // beyond U+10FFFF
		{"\xc0\x80", "??"},                     // overlong
		{"0123456\x80", "0123456?"},            // last of eight
		{"01234567\x80", "01234567?"},          // ninth
		{"\x80" + "0123456789", "?0123456789"}, // first
		{"世\xff界", "世?界"},
		{"\ufffd", "\ufffd"}, // is itself valid
	} {
		b := []byte(span(lenField(5, c.in)))
		i, err := Check(Traces, b, CheckOptions{})
		if want := span(lenField(5, c.want)); err != nil || string(b) != want || (i.Repaired == 1) != (c.in != c.want) {
			t.Errorf("%q: %q, want %q; repaired %d, %v", c.in, b, want, i.Repaired, err)
		}
		differ(t, Traces, []byte(span(lenField(5, c.in), lenField(3, c.in))))
	}
	_, err := Check(Traces, []byte(span(lenField(5, "ab\xffcd"))), CheckOptions{RejectUTF8: true})
	if want := "resource_spans[0].scope_spans[0].spans[0].name: the string of 5 bytes is not UTF-8 from its byte 2 on at byte 6"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	// Repairs in a member that is replaced were done all the same.
	name := lenField(5, lenField(1, lenField(7, lenField(1, "\xff"))))
	if i, err := Check(Metrics, []byte(metric(name, data(7, 1))), CheckOptions{}); err != nil || i.Repaired != 1 || i.Items != 1 {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	for _, sig := range Signals {
		b := fullRequest(t, sig, 1, 8)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := Check(sig, b, CheckOptions{}); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", sig, n)
		}
	}
}
