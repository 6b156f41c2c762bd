package sample

import "fmt"

// A service of the shop. Its replicas differ in the resource attributes that
// differ between pods, and in nothing else.
type service struct {
	name, version, lang, scope string
	routes                     []route
	tables                     []string // collections of its database; none: it has no database
	calls                      []string // gRPC methods of others that it calls
}

type route struct{ method, template, path string }

// replicas of each service: 24 resources in all.
const replicas = 4

// Eight hexadecimal digits in a row of this shape are replaced by fresh ones in
// every item made from a template.
const varying = "0badf00d"

var services = []service{
	{
		name: "frontend", version: "3.14.2", lang: "nodejs", scope: "@opentelemetry/instrumentation-http",
		routes: []route{
			{"GET", "/", "/"},
			{"GET", "/product/:id", "/product/" + varying},
			{"POST", "/api/cart", "/api/cart"},
			{"GET", "/api/recommendations", "/api/recommendations"},
		},
		calls: []string{"shop.Catalog/GetProduct", "shop.Catalog/ListProducts", "shop.Cart/AddItem", "shop.Checkout/PlaceOrder"},
	},
	{
		name: "catalog", version: "1.9.0", lang: "go", scope: "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp",
		routes: []route{
			{"GET", "/v1/products/{id}", "/v1/products/" + varying},
			{"GET", "/v1/products", "/v1/products"},
		},
		tables: []string{"products", "prices", "stock"},
	},
	{
		name: "cart", version: "2.3.1", lang: "dotnet", scope: "OpenTelemetry.Instrumentation.AspNetCore",
		routes: []route{
			{"POST", "/v1/carts/{user}/items", "/v1/carts/" + varying + "/items"},
			{"GET", "/v1/carts/{user}", "/v1/carts/" + varying},
			{"DELETE", "/v1/carts/{user}", "/v1/carts/" + varying},
		},
		tables: []string{"carts", "cart_items"},
	},
	{
		name: "checkout", version: "5.0.7", lang: "java", scope: "io.opentelemetry.tomcat-10.0",
		routes: []route{
			{"POST", "/v1/orders", "/v1/orders"},
			{"GET", "/v1/orders/{id}", "/v1/orders/" + varying},
		},
		tables: []string{"orders", "order_lines", "outbox"},
		calls:  []string{"shop.Payment/Charge", "shop.Shipping/Quote", "shop.Cart/Empty"},
	},
	{
		name: "payment", version: "1.2.12", lang: "java", scope: "io.opentelemetry.spring-webmvc-6.0",
		routes: []route{
			{"POST", "/v1/charges", "/v1/charges"},
			{"POST", "/v1/refunds/{charge}", "/v1/refunds/" + varying},
		},
		tables: []string{"charges", "ledger_entries"},
	},
	{
		name: "shipping", version: "0.41.0", lang: "rust", scope: "axum-tracing-opentelemetry",
		routes: []route{
			{"POST", "/v1/quotes", "/v1/quotes"},
			{"GET", "/v1/parcels/{id}", "/v1/parcels/" + varying},
		},
		tables: []string{"parcels"},
	},
}

const schemaURL = "https://opentelemetry.io/schemas/1.37.0"

// resource is field 1 of Resource{Spans,Metrics,Logs}, with tag and length.
func (s *service) resource(r *rng) []byte {
	hash, uid := r.next(), r.next()
	pod := fmt.Sprintf("%s-%08x-%05x", s.name, uint32(hash), hash>>44)
	node := fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", hash>>32&63, hash>>40&255)
	body := appendAttrs(nil, 1, []attr{
		{"service.name", s.name},
		{"service.namespace", "shop"},
		{"service.version", s.version},
		{"service.instance.id", uuid(r)},
		{"deployment.environment.name", "production"},
		{"telemetry.sdk.language", s.lang},
		{"telemetry.sdk.name", "opentelemetry"},
		{"telemetry.sdk.version", "1.43.0"},
		{"k8s.cluster.name", "shop-eu-1"},
		{"k8s.namespace.name", "shop"},
		{"k8s.deployment.name", s.name},
		{"k8s.pod.name", pod},
		{"k8s.pod.uid", uuid(r)},
		{"k8s.node.name", node},
		{"k8s.container.name", s.name},
		{"host.name", node},
		{"host.arch", "arm64"},
		{"os.type", "linux"},
		{"process.pid", int(uid%30000) + 1},
		{"cloud.provider", "aws"},
		{"cloud.region", "eu-central-1"},
	})
	return appendBytes(nil, 1, body)
}

func uuid(r *rng) string {
	a, b := r.next(), r.next()
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", uint32(a), a>>32&0xffff, a>>48&0xfff, b>>52, b&(1<<48-1))
}
