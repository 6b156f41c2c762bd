package tenant

import "fmt"

// maxName is the longest name of a tenant: it stands in headers, labels and
// keys.
const maxName = 63

// CheckName says what is wrong with the name of a tenant, as it reads on from
// what it is the name of. It repeats at most 80 bytes of it.
func CheckName(name string) error {
	if len(name) > maxName || !clean(name) {
		return fmt.Errorf("is %.80q: want 1 to %d letters, digits, '-', '_' or '.', the first a letter or digit", name, maxName)
	}
	return nil
}

func clean(name string) bool {
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '_' || c == '.'):
		default:
			return false
		}
	}
	return name != ""
}
