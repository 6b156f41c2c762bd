package codec

import (
	"fmt"
	"sync"
	"testing"
)

// Pooled codec state has given one caller another's data elsewhere. Here many
// goroutines with payloads of their own go through all codecs at once, with
// damaged input in between, and every result is compared by checksum.
func TestManyGoroutinesKeepTheirOwnData(t *testing.T) {
	const goroutines, rounds = 16, 8
	encoders := map[string][]Encoder{}
	for _, name := range written {
		for level := range min(levels[name], 4) + 1 {
			e, err := NewEncoder(name, level)
			if err != nil {
				t.Fatal(err)
			}
			encoders[name] = append(encoders[name], e)
		}
	}
	errs := make(chan error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			errs <- func() error {
				var enc, dec []byte
				for round := range rounds {
					src := payload(1<<10+g*700, uint64(g*1000+round))
					want := Checksum(src)
					for name, list := range encoders {
						var err error
						if enc, err = list[(g+round)%len(list)].Append(enc[:0], src); err != nil {
							return err
						}
						if dec, err = Decode(dec[:0], name, enc, len(src)); err != nil {
							return fmt.Errorf("%s: %w", name, err)
						}
						if got := Checksum(dec); got != want || Checksum(src) != want {
							return fmt.Errorf("%s gave other data: checksum %#x, want %#x", name, got, want)
						}
						if name == None {
							continue
						}
						if out, err := Decode(nil, name, enc[:len(enc)-1-round], len(src)); err == nil {
							return fmt.Errorf("%s cut short: %d bytes and no error", name, len(out))
						}
						if out, err := Decode(nil, name, enc, len(src)/2); err == nil {
							return fmt.Errorf("%s over the limit: %d bytes and no error", name, len(out))
						}
					}
				}
				return nil
			}()
		})
	}
	wg.Wait()
	for range goroutines {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
