package amapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func (r *replica) silence(body string, headers ...string) string {
	r.t.Helper()
	var made struct{ SilenceID string }
	if err := json.Unmarshal([]byte(r.asks(http.StatusOK, "POST", "silences", body, headers...)), &made); err != nil || made.SilenceID == "" {
		r.t.Fatalf("%v, %+v", err, made)
	}
	return made.SilenceID
}

func TestSilences(t *testing.T) {
	r, _, _ := started(t)
	r.asks(http.StatusOK, "POST", "alerts", `[{"labels":{"alertname":"A"}},{"labels":{"alertname":"B"}}]`)
	const body = `{"matchers":[{"name":"alertname","value":"A","isRegex":false,"isEqual":true},{"name":"odd","value":"a\"b","isRegex":false,"isEqual":false}],
		"startsAt":"2020-01-01T00:00:00Z","endsAt":"2099-01-01T00:00:00.000Z","createdBy":"ann","comment":"works"`
	id := r.silence(body + `}`)
	if got := names(t, r.asks(http.StatusOK, "GET", "alerts", "")); !sameWords(got, "A suppressed;B active;") {
		t.Error(got)
	}
	if s := r.state.Silences()[0]; s.By != "ann" || s.Starts.Year() < 2026 || strings.Join(s.Matchers, " ") != `alertname="A" odd!="a\"b"` {
		t.Errorf("%+v", s)
	}
	again := r.silence(strings.Replace(body, "works", "more works", 1)+`,"id":"`+id+`"}`, "Actor: grafana")
	if s := r.state.Silences(); again != id || len(s) != 1 || s[0].Comment != "more works" || s[0].By != "grafana for ann" {
		t.Errorf("%s, %+v", again, s)
	}
	r.asks(http.StatusOK, "DELETE", "silence/"+id, "", "Actor: bob")
	if got := names(t, r.asks(http.StatusOK, "GET", "alerts", "")); !sameWords(got, "A active;B active;") {
		t.Error(got)
	}
	if got := r.asks(http.StatusOK, "GET", "silence/"+id, ""); !strings.Contains(got, `"state":"expired"`) {
		t.Error(got)
	}
	r.asks(http.StatusOK, "DELETE", "silence/"+id, "") // it has ended
	r.asks(http.StatusNotFound, "DELETE", "silence/none", "")
	for body, why := range map[string]string{
		``:   "no silence",
		`[]`: "no silence",
		`{"matchers":[{"name":"a","value":"b"}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"x"} {}`:                             "behind",
		`{"endsAt":"2099-01-01T00:00:00Z","createdBy":"x"}`:                                                                      "no matchers",
		`{"matchers":[{"name":"a","value":"","isRegex":false}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"x"}`:                 "every alert",
		`{"matchers":[{"name":"a","value":"(","isRegex":true}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"x"}`:                 "label",
		`{"matchers":[{"name":"a","value":"b"}],"endsAt":"2020-01-01T00:00:00Z","createdBy":"x"}`:                                "is over",
		`{"matchers":[{"name":"a","value":"b"}],"endsAt":"2099-01-01T00:00:00Z"}`:                                                "nobody",
		`{"matchers":[{"name":"a","value":"b"}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"` + strings.Repeat("x", 300) + `"}`: "createdBy",
	} {
		if said := r.asks(http.StatusBadRequest, "POST", "silences", body); !strings.Contains(said, why) {
			t.Errorf("%s: %s, want %q", body, said, why)
		}
	}
	for _, x := range []string{"add silence true", "end silence true"} {
		if !strings.Contains(strings.Join(r.acted, "\n"), x) {
			t.Errorf("%q has no %s", r.acted, x)
		}
	}
}
