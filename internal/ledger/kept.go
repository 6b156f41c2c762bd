package ledger

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Keys of the ledger in the queue's store.
const (
	keyStream  = "ledger/stream/"  // and its name: a book
	keyAccount = "ledger/account/" // and a destination: an account
	keyLetters = "ledger/letters"  // the dead letters
	keyGate    = "ledger/gateways" // what gateways that ended had told
	keyLooks   = "ledger/looks"    // how the present differs from what was told
	keyHold    = "ledger/hold"     // for the janitor
	keyView    = "ledger/view"     // the Ledger
	keyNote    = "ledger/note/"    // and an id: letters about to be removed
	keyDrop    = "ledger/drop/"    // and a destination that is given up
	keyPurge   = "ledger/purge/"   // and a stream: up to where the janitor purges
	keyForgive = "ledger/forgive"  // what an operator knows of
)

// kept is a value of the store that this process writes as long as nobody else
// does: each save names the revision it read.
type kept[T any] struct {
	key      string
	v        T
	revision uint64
	saved    []byte
}

// load reads a value; one that is not there is as T is made by New.
func load[T any](ctx context.Context, s queue.Store, key string, empty T) (*kept[T], error) {
	k := &kept[T]{key: key, v: empty}
	v, err := s.Load(ctx, key)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return k, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	data := v.Data
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) { // RFC 1952
		if data, err = unsqueeze(v.Data); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
	}
	k.revision, k.saved = v.Revision, data
	if err := json.Unmarshal(data, &k.v); err != nil {
		return nil, fmt.Errorf("read %s: %w; a newer version may have written it", key, err)
	}
	return k, nil
}

// A value that is larger than maxReadable is stored as gzip, for many tenants make
// more than the store takes; the others are JSON that people can read.
const (
	maxReadable = queue.MaxValueBytes / 2
	maxPlain    = 64 << 20
)

func squeeze(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unsqueeze(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxPlain))
}

// born tells that the value was never saved.
func (k *kept[T]) born() bool { return k.revision == 0 }

// save writes the value if it changed. After an error what is stored is not
// known, and everything has to be read again.
func (k *kept[T]) save(ctx context.Context, s queue.Store) error {
	data, err := json.Marshal(k.v)
	if err != nil {
		return fmt.Errorf("write %s: %w", k.key, err)
	}
	if k.revision > 0 && bytes.Equal(data, k.saved) {
		return nil
	}
	stored := data
	if len(data) > maxReadable {
		if stored, err = squeeze(data); err != nil {
			return fmt.Errorf("write %s: %w", k.key, err)
		}
	}
	revision, err := s.Save(ctx, k.key, stored, k.revision)
	if err != nil {
		return fmt.Errorf("write %s of %d bytes: %w", k.key, len(stored), err)
	}
	k.revision, k.saved = revision, data
	return nil
}
