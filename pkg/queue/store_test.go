package queue

import (
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		s           string
		key, prefix bool
	}{
		{"", false, true}, {"a", true, true}, {"a/", false, true}, {"a.", false, true},
		{"/a", false, false}, {".a", false, false}, {"a//b", false, false}, {"a./b", false, false}, {"a..", false, false},
		{"a/b.c-d_E9", true, true}, {"-", true, true}, {"ä", false, false}, {"a b", false, false}, {"a*", false, false},
		{strings.Repeat("a", 256), true, true}, {strings.Repeat("a", 257), false, false},
	} {
		if err := CheckKey(c.s); (err == nil) != c.key {
			t.Errorf("key %q: %v", c.s, err)
		}
		if err := CheckPrefix(c.s); (err == nil) != c.prefix {
			t.Errorf("prefix %q: %v", c.s, err)
		}
	}
}
