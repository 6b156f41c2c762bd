package embedded

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestCachesAreLimited fails on a nats-server whose private fields are others.
func TestCachesAreLimited(t *testing.T) {
	s, err := Start(t.Context(), Config{Dir: t.TempDir(), SyncAlways: true, MaxStoreBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"A", "B"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}, MaxBytes: 64 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "C", Subjects: []string{"C"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	want := map[string]caches{"A": {cacheExpire, smallestBlock}, "B": {cacheExpire, smallestBlock}}
	for name, got := range cachesOf(t, s) {
		if got.expire <= cacheExpire || got.block <= smallestBlock {
			t.Fatalf("the caches of the new stream %s are limited already: %v; LimitCaches is not needed any more", name, got)
		}
	}
	if err := s.LimitCaches(); err != nil {
		t.Fatal(err)
	}
	if got := cachesOf(t, s); !reflect.DeepEqual(got, want) {
		t.Fatalf("block caches are %v, want %v", got, want)
	}
	for range 100 { // the streams work on
		if _, err := js.Publish(t.Context(), "A", make([]byte, 10<<10)); err != nil {
			t.Fatal(err)
		}
	}
}

// caches is what LimitCaches sets.
type caches struct {
	expire time.Duration
	block  uint64
}

// cachesOf reads it of each stream.
func cachesOf(t *testing.T, s *Server) map[string]caches {
	t.Helper()
	srv, err := s.server()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]caches{}
	jsa := private(reflect.ValueOf(srv.GlobalAccount()).Elem(), "js").Elem()
	for it := private(jsa, "streams").MapRange(); it.Next(); {
		if store := storeOf(it.Value().Elem()); store.IsValid() {
			config := private(store, "fcfg").Addr().Interface().(*server.FileStoreConfig)
			got[it.Key().String()] = caches{config.CacheExpire, config.BlockSize}
		}
	}
	return got
}

func TestLimitCachesSaysWhatItDidNotFind(t *testing.T) {
	defer func() {
		if r := recover(); r == nil {
			t.Error("a field that does not exist was found")
		}
	}()
	private(reflect.ValueOf(&struct{ a int }{}).Elem(), "b")
}

func TestBlocksGrowWithTheStream(t *testing.T) {
	for maxBytes, want := range map[int64]uint64{
		0: 8 << 20, -1: 8 << 20, 1 << 20: 1 << 20, 4 << 30: 1 << 20, 10 << 30: 10 << 18, 16 << 30: 4 << 20, 1 << 40: 8 << 20,
	} {
		if got := blockSize(maxBytes); got != want {
			t.Errorf("blocks of %d bytes in a stream of %d, want %d", got, maxBytes, want)
		}
	}
}
