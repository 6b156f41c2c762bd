package outgoing

import (
	"fmt"
	"strings"
)

// TenantValue is the name of a tenant as the value of a header: names are as they
// are, and what no header may carry is %XX, so that no name of a tenant breaks an
// export and two tenants never become one.
func TenantValue(tenant string) string {
	plain := true
	for i := range len(tenant) {
		plain = plain && plainByte(tenant[i])
	}
	if plain {
		return tenant
	}
	var b strings.Builder
	for i := range len(tenant) {
		if c := tenant[i]; plainByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// plainByte: visible ASCII. A space would be lost at an end.
func plainByte(c byte) bool { return c > ' ' && c <= '~' && c != '%' }
