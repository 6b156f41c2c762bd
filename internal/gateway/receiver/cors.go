package receiver

import (
	"net/http"
	"slices"

	"github.com/rs/cors"
)

// withCORS lets scripts of pages from the origins send telemetry, by the Fetch
// standard's CORS protocol. Credentials are allowed where origins are named:
// browsers send telemetry at the end of a page with navigator.sendBeacon, which
// always asks for them.
func withCORS(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins, AllowedMethods: []string{http.MethodPost}, AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{"Retry-After"}, AllowCredentials: !slices.Contains(origins, "*"), MaxAge: 7200,
	}).Handler(next)
}
