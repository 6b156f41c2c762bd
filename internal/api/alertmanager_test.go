package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerter/alertertest"
	"github.com/penstock-otel/penstock/internal/audit"
)

// as2 asks below /api/v2, which has a document of its own, and wants a status.
func (r *rig) as2(want int, method, path, body string, header ...string) string {
	r.t.Helper()
	q, err := http.NewRequestWithContext(context.Background(), method, "http://"+r.port.Addr()+alertmanagerPath+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != want {
		r.t.Errorf("%s %s: %d %s, want %d", method, path, resp.StatusCode, b, want)
	}
	return string(b)
}

const posted = `[{"labels":{"alertname":"Posted"}}]`

// TestAlertmanagersAPI is served while there is an alerter, and its changes are
// recorded.
func TestAlertmanagersAPI(t *testing.T) {
	r := start(t, admin.Config{})
	r.as2(http.StatusServiceUnavailable, http.MethodGet, "alerts", "")
	s := r.alerting()
	s.Evaluate("", "Slow", alertertest.Alert("Slow", "critical"))
	r.as2(http.StatusOK, http.MethodPost, "alerts", posted)
	if got := r.as2(http.StatusOK, http.MethodGet, "alerts", ""); !strings.Contains(got, `"Slow"`) || !strings.Contains(got, `"Posted"`) {
		t.Error(got)
	}
	r.as2(http.StatusOK, http.MethodPost, "silences", `{"matchers":[{"name":"alertname","value":"Posted"}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"ann","comment":"x"}`)
	if w := s.State().Silences(); len(w) != 1 || w[0].By != "ann" {
		t.Errorf("%+v", w)
	}
	r.as2(http.StatusNotFound, http.MethodDelete, "silence/none", "")
	r.as2(http.StatusNotFound, http.MethodGet, "everything", "")
	r.as2(http.StatusForbidden, http.MethodPost, "alerts", posted, "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site")
	for _, action := range []string{"post alerts", "add silence"} {
		if e := r.audit.of(action); len(e) != 1 || e[0].Outcome != audit.Done || e[0].Peer == "" {
			t.Errorf("of %s is recorded %+v", action, e)
		}
	}
	r.Detach()
	r.as2(http.StatusServiceUnavailable, http.MethodGet, "alerts", "")
}

// TestATenantPostsItsOwn, and sees no other's.
func TestATenantPostsItsOwn(t *testing.T) {
	a, secrets := tenants(t)
	r := startAs(t, admin.Config{}, a, secrets["all"])
	s := r.alerting()
	r.as2(http.StatusUnauthorized, http.MethodPost, "alerts", posted, "X-Api-Key", "pst_wrong")
	for who, list := range map[string][]string{"all": {"", "green"}, "blue": {"blue"}, "two": {"blue", "red"}} {
		for _, tenant := range list {
			name := strings.ReplaceAll(posted, "Posted", who+"_"+tenant)
			r.as2(http.StatusOK, http.MethodPost, "alerts", name, "X-Api-Key", secrets[who], tenantHeader, tenant)
			if k := r.as2(http.StatusOK, http.MethodGet, "alerts", "", "X-Api-Key", secrets[who], tenantHeader, tenant); !strings.Contains(k, who+"_"+tenant) {
				t.Errorf("%s sees %s", who, k)
			}
		}
	}
	r.as2(http.StatusForbidden, http.MethodPost, "alerts", posted, "X-Api-Key", secrets["blue"], tenantHeader, "red")
	r.as2(http.StatusForbidden, http.MethodGet, "alerts", "", "X-Api-Key", secrets["two"], tenantHeader, "green")
	if got := r.as2(http.StatusOK, http.MethodGet, "alerts", "", "X-Api-Key", secrets["blue"]); strings.Contains(got, "red") || strings.Contains(got, "green") || !strings.Contains(got, "blue_blue") {
		t.Errorf("blue sees %s", got)
	}
	r.as2(http.StatusOK, http.MethodPost, "silences", `{"matchers":[{"name":"alertname","value":"x"}],"endsAt":"2099-01-01T00:00:00Z","createdBy":"ann","comment":"x"}`, "X-Api-Key", secrets["blue"])
	if w := s.State().Silences(); len(w) != 1 || w[0].By != "key:blue for ann" || w[0].Tenant != "blue" {
		t.Errorf("%+v", w)
	}
}
