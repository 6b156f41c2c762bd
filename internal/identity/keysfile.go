package identity

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Bounds of a keys file.
const (
	maxKeysFile = 16 << 20 // bytes
	maxKeyLine  = 64 << 10 // bytes
	maxKeys     = 50_000
)

// keysHead begins a file that is written here.
const keysHead = "# API keys of Penstock, one a line, format 1. There are hashes in it, no keys.\n" +
	"# Written by penstock keys create and penstock keys revoke.\n"

// ParseKeys reads a keys file: a JSON object a line, empty lines and lines that
// begin with # left out. What is not understood is refused, for it may have been
// meant to take something away from a key.
func ParseKeys(data []byte) ([]Key, error) {
	if len(data) > maxKeysFile {
		return nil, fmt.Errorf("has more than %d bytes", maxKeysFile)
	}
	var keys []Key
	seen := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxKeyLine)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if before := seen[k.ID]; before > 0 {
			return nil, fmt.Errorf("line %d: id %s is that of line %d too", n, k.ID, before)
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("line %d: more than %d keys", n, maxKeys)
		}
		seen[k.ID] = n
		keys = append(keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w; a line has at most %d bytes", n+1, err, maxKeyLine)
	}
	return keys, nil
}

func parseKey(line []byte) (Key, error) {
	var k Key
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return k, fmt.Errorf("is no key: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return k, errors.New("has something after the key: want one JSON object a line")
	}
	return k, k.Validate()
}

// FormatKeys is the file that ParseKeys reads.
func FormatKeys(keys []Key) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(keysHead)
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range keys {
		if err := keys[i].Validate(); err != nil {
			return nil, fmt.Errorf("key %s: %w", keys[i].ID, err)
		}
		if err := e.Encode(&keys[i]); err != nil {
			return nil, fmt.Errorf("key %s: %w", keys[i].ID, err)
		}
	}
	if len(keys) > maxKeys || b.Len() > maxKeysFile {
		return nil, fmt.Errorf("%d keys in %d bytes are too many: at most %d keys and %d bytes; remove lines of revoked ones", len(keys), b.Len(), maxKeys, maxKeysFile)
	}
	return b.Bytes(), nil
}

// ReadKeys reads the file of that name.
func ReadKeys(name string) (keys []Key, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, maxKeysFile+1))
	if err != nil {
		return nil, err
	}
	if keys, err = ParseKeys(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return keys, nil
}
