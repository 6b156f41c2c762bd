package config

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/viper"
)

// Options says where Load looks. The order is flags over environment over file
// over defaults, key by key; a list is one key.
type Options struct {
	// File is a .yaml, .yml, .json or .toml file. Empty reads none; a name that
	// does not exist is an error.
	File string
	// EnvPrefix begins the names of environment variables: "PENSTOCK" makes
	// gateway.grpc.listen PENSTOCK_GATEWAY_GRPC_LISTEN. Empty reads none.
	EnvPrefix string
	// Environ is the environment as os.Environ gives it; nil is os.Environ().
	// References (${env:NAME}) read it too.
	Environ []string
	// AllowEnv are variables that begin with the prefix and are not keys: what
	// the program itself reads, such as PENSTOCK_CONFIG. The variables that
	// Kubernetes makes for services are always allowed.
	AllowEnv []string
	// Sets are "key=value" texts from a repeated --set; a later one wins.
	Sets []string
	// Flags are values of dedicated flags by dotted key; they win over Sets.
	Flags map[string]string
}

// Loaded is what Load knows of a configuration beside its values.
type Loaded struct {
	v       any // pointer to the struct
	origins map[string]origin
	refs    map[string]reference
}

// Load fills into, a pointer to a struct that holds the defaults. On error the
// struct is as it was; mistakes of the user are Problems, all of them.
func Load(into any, o Options) (*Loaded, error) {
	rv := reflect.ValueOf(into)
	if rv.Kind() != reflect.Pointer || rv.IsNil() || rv.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("BUG: Load needs a pointer to a struct, not %T", into)
	}
	s, err := schemaOf(rv.Type())
	if err != nil {
		return nil, err
	}
	environ := o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	l := &layers{schema: s, v: viper.New()}
	if err := l.fill(o, environ); err != nil {
		return nil, err
	}
	d := &decoder{layers: l, env: lookupIn(environ), origins: map[string]origin{}, refs: map[string]reference{}}
	for _, hidden := range l.shadowed {
		// Its mistakes count; its values, origins and references do not.
		scratch := &decoder{layers: l, env: d.env, origins: map[string]origin{}, refs: map[string]reference{}}
		scratch.node(reflect.New(hidden.f.typ).Elem(), hidden.f, hidden.v, hidden.v.node, hidden.f.path)
	}
	target := reflect.New(rv.Type().Elem())
	target.Elem().Set(rv.Elem())
	d.section(target.Elem(), s.root)
	d.validate(target.Elem(), s.root, "")
	if len(l.problems) > 0 {
		// An alias that is used twice would have its mistakes twice.
		return nil, slices.CompactFunc(l.problems.sorted(), func(a, b Problem) bool { return a.Error() == b.Error() })
	}
	rv.Elem().Set(target.Elem())
	return &Loaded{v: into, origins: d.origins, refs: d.refs}, nil
}

// fill stacks the layers from the lowest.
func (l *layers) fill(o Options, environ []string) error {
	if o.File != "" {
		root, err := readFile(o.File)
		if err != nil {
			return err
		}
		if err := l.file(o.File, root); err != nil {
			return err
		}
	}
	if o.EnvPrefix != "" {
		if err := l.environment(o.EnvPrefix, environ, o.AllowEnv); err != nil {
			return err
		}
	}
	for _, set := range o.Sets {
		key, text, ok := strings.Cut(set, "=")
		if !ok {
			l.problem(origin{source: "flag --set"}, "", "want key=value, such as gateway.grpc.listen=0.0.0.0:4317")
			continue
		}
		if err := l.set(strings.TrimSpace(key), text, "flag --set"); err != nil {
			return err
		}
	}
	keys := make([]string, 0, len(o.Flags))
	for k := range o.Flags {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		if err := l.set(k, o.Flags[k], "flag"); err != nil {
			return err
		}
	}
	return nil
}

func lookupIn(environ []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, entry := range slices.Backward(environ) {
			if k, v, _ := strings.Cut(entry, "="); k == name {
				return v, true
			}
		}
		return "", false
	}
}

// Made is v, a pointer to a struct, as if it had been loaded and nothing written
// anywhere: for a configuration that a program makes itself.
func Made(v any) *Loaded {
	return &Loaded{v: v, origins: map[string]origin{}, refs: map[string]reference{}}
}

// Origin says where a key's value came from: "penstock.yaml:12", "environment
// variable PENSTOCK_QUEUE_DIR", "flag --set", or "default".
func (l *Loaded) Origin(key string) string {
	if o, ok := l.origins[key]; ok {
		return o.String()
	}
	return "default"
}

// Print writes the effective configuration as the package's Print does; a value
// that came from a reference is written as the reference, secret or not.
func (l *Loaded) Print(w io.Writer, format string) error {
	return printTo(w, l.v, format, l.refs)
}

// Hash is the package's Hash of what Print writes: a reference stands for itself
// there, whatever it brought.
func (l *Loaded) Hash() string { return hashOf(l.v, l.refs) }
