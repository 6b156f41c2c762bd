// Package config loads, checks and prints the configuration of every role, and
// knows none of them: a role hands in its own struct, and the struct's tags are
// the only description of its keys.
//
//	defaults ──▶ file ──▶ environment ──▶ flags ──▶ references ──▶ Validate
//	(the struct)  YAML,    PENSTOCK_       --set,    ${env:NAME}    every nested
//	              TOML     SECTION_KEY     flags     ${file:PATH}   struct's own
//
// # Guarantees
//
//   - What the struct does not name is refused: an unknown key, an unknown
//     PENSTOCK_ variable, a key written twice. Nothing is ignored in silence.
//   - Every problem is reported, not only the first, each with where it was
//     written (file, line and column, variable or flag) and what was expected.
//   - A failed Load changes nothing: the struct is assigned when all is well.
//   - No secret is printed. A [Secret] prints as "<redacted>", and a value that
//     came from a reference prints as the reference and is never quoted in an
//     error.
//
// # Tags
//
//	Listen string   `yaml:"listen" help:"Address to listen on." example:"0.0.0.0:4317"`
//	Codec  string   `yaml:"codec" help:"Compression." enum:"none,s2,zstd"`
//	URL    string   `yaml:"url" help:"Server." secret:"url"`
//
// yaml is required on every exported field ("-" leaves a field out, ",inline"
// merges a struct into its parent) and is lower case: keys are compared exactly.
// help is one sentence, and goes into the reference and the JSON Schema. enum
// lists the values allowed beside the empty one. secret:"true" redacts a plain
// string, secret:"url" the password within an address.
//
// # Types
//
// Structs are sections, slices are lists; scalars are bool, string, integers,
// floats, [ByteSize], [Duration], [Secret] and whatever has UnmarshalText. Maps
// are refused, because the layers fold the case of keys: where a key is a
// user's name, use a list of [NameValue]. A list replaces the list below it as a
// whole; each element starts from its type's SetDefaults, if it has one.
package config
