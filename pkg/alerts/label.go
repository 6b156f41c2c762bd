package alerts

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Label is a name and its value.
type Label struct{ Name, Value string }

// Labels are sorted by name, each name once, without empty values. In JSON they are
// an object.
type Labels []Label

// LabelsOf sorts. Of a name that is there twice the last counts, and empty values
// are left out, as a missing label is an empty one.
func LabelsOf(list ...Label) Labels {
	byName := make(map[string]string, len(list))
	for _, l := range list {
		byName[l.Name] = l.Value
	}
	return fromMap(byName)
}

func fromMap(byName map[string]string) Labels {
	l := make(Labels, 0, len(byName))
	for name, value := range byName {
		if value != "" {
			l = append(l, Label{name, value})
		}
	}
	slices.SortFunc(l, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return l
}

// Get is the value of a label, "" when there is none.
func (l Labels) Get(name string) string {
	i, ok := slices.BinarySearchFunc(l, name, func(x Label, name string) int { return cmp.Compare(x.Name, name) })
	if !ok {
		return ""
	}
	return l[i].Value
}

// MarshalJSON writes an object, its names sorted.
func (l Labels) MarshalJSON() ([]byte, error) {
	byName := make(map[string]string, len(l))
	for _, x := range l {
		byName[x.Name] = x.Value
	}
	return json.Marshal(byName)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Labels) UnmarshalJSON(b []byte) error {
	var byName map[string]string
	if err := json.Unmarshal(b, &byName); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	*l = fromMap(byName)
	return nil
}

// Key is who an alert is: 32 hex digits.
type Key string

// KeyOf is made of the tenant and all labels. Nothing of a replica may be among
// them: two that evaluate the same rule have to find the same alert.
func KeyOf(tenant string, l Labels) Key {
	h := sha256.New()
	var size [4]byte
	add := func(s string) { // with its length, so that no text runs into the next
		binary.BigEndian.PutUint32(size[:], uint32(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	add(tenant)
	for _, x := range l {
		add(x.Name)
		add(x.Value)
	}
	return Key(hex.EncodeToString(h.Sum(nil)[:16]))
}
