package receiver

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/rs/cors"

	"github.com/penstock-otel/penstock/internal/config"
)

// CORSConfig says which web pages may send.
type CORSConfig struct {
	Origins        []string        `yaml:"origins" help:"Origins of web pages whose scripts may send telemetry, as browsers write them: scheme://host, with the port unless it is the scheme's own. *.example.com stands for every name below example.com, :* for every port, * alone for every origin. Empty: none." example:"https://*.example.com"`
	Headers        []string        `yaml:"headers" help:"Request headers that scripts may set. * stands for any."`
	ExposedHeaders []string        `yaml:"exposed_headers" help:"Headers of answers that scripts may read, beside Retry-After and those of gRPC-Web."`
	MaxAge         config.Duration `yaml:"max_age" help:"How long browsers keep what they were told. They have limits of their own, 2h in Chromium."`
	PrivateNetwork bool            `yaml:"private_network" help:"Whether pages of public sites may send to this gateway in a private network, where browsers ask for that."`
}

func defaultCORS() CORSConfig {
	return CORSConfig{Headers: []string{"*"}, MaxAge: config.Duration(2 * time.Hour)}
}

// maxCORSAge is a day, the longest that any browser keeps it.
const maxCORSAge = config.Duration(24 * time.Hour)

// Validate answers in the user's keys.
func (c CORSConfig) Validate() error {
	for i, o := range c.Origins {
		if _, err := parseOrigin(o); o != "*" && err != nil {
			return config.KeyError(fmt.Sprintf("origins[%d]", i), "is %q: %w", o, err)
		}
	}
	for i, n := range c.Headers {
		if n != "*" && !isToken(n) {
			return config.KeyError(fmt.Sprintf("headers[%d]", i), "is %q: want the name of a header, or *", n)
		}
	}
	for i, n := range c.ExposedHeaders { // * would be no wildcard where credentials are sent
		if n == "*" || !isToken(n) {
			return config.KeyError(fmt.Sprintf("exposed_headers[%d]", i), "is %q: want the name of a header", n)
		}
	}
	if c.MaxAge < 0 || c.MaxAge > maxCORSAge {
		return config.KeyError("max_age", "is %s: want 0s to 1d", c.MaxAge)
	}
	return nil
}

// alwaysExposed are the headers of Penstock's own answers: when to come again,
// and the status of a gRPC-Web call.
var alwaysExposed = []string{"Retry-After", headerGRPCStatus, headerGRPCMessage, headerGRPCDetails}

// withCORS lets scripts of pages from the origins send telemetry, by the Fetch
// standard's CORS protocol. Credentials are allowed where origins are named:
// browsers send telemetry at the end of a page with navigator.sendBeacon, which
// always asks for them. An opaque origin, "null", is any page's: it is never one
// that was named.
func withCORS(c CORSConfig, next http.Handler) http.Handler {
	if len(c.Origins) == 0 {
		return next
	}
	o := cors.Options{
		AllowedMethods: []string{http.MethodPost}, AllowedHeaders: c.Headers,
		ExposedHeaders: append(slices.Clone(alwaysExposed), c.ExposedHeaders...),
		MaxAge:         int(time.Duration(c.MaxAge) / time.Second), AllowPrivateNetwork: c.PrivateNetwork,
	}
	if o.MaxAge == 0 {
		o.MaxAge = -1 // says 0; saying nothing leaves it to the browser
	}
	if len(o.AllowedHeaders) == 0 {
		o.AllowedHeaders = []string{"Content-Type"} // without it no OTLP can be sent
	}
	if slices.Contains(c.Origins, "*") {
		o.AllowedOrigins = []string{"*"}
		return cors.New(o).Handler(next)
	}
	var allowed []origin
	for _, text := range c.Origins {
		p, err := parseOrigin(text)
		if err != nil {
			continue // Validate has refused it; it allows nobody
		}
		allowed = append(allowed, p)
	}
	o.AllowCredentials = true
	o.AllowOriginFunc = func(from string) bool {
		return slices.ContainsFunc(allowed, func(p origin) bool { return p.match(from) })
	}
	return cors.New(o).Handler(next)
}
