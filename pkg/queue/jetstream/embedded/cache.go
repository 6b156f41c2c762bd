package embedded

import (
	"fmt"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"github.com/nats-io/nats-server/v2/server"
)

// cacheExpire is how long a stream keeps a block in memory after it was last
// written or read. The server's own 10 s hold, under SyncAlways, ten seconds of
// all that is written: 600 MB at full load. A reader that is further behind
// reads the block from the page cache, at a gigabyte a second.
//
// The server looks at a clock of 100 ms, so that it comes to 100 to 200 ms.
const cacheExpire = 10 * time.Millisecond

// Blocks are the files of a stream, and in memory as a whole, however little of one
// was written since: the server's own 8 MiB were 40 MB at full load. They are as
// small as leaves a full stream with no more of them than mostBlocks, for each takes
// a kilobyte of memory for good.
const (
	smallestBlock = 1 << 20
	mostBlocks    = 4096
)

// blockSize is that of a stream of maxBytes, 0 or less for one without bound.
func blockSize(maxBytes int64) uint64 {
	if maxBytes <= 0 {
		return server.FileStoreMaxBlkSize
	}
	return uint64(min(max(maxBytes/mostBlocks, smallestBlock), server.FileStoreMaxBlkSize))
}

// LimitCaches makes every stream that exists now write smaller blocks, and keep
// them in memory for no longer than cacheExpire. To be called when streams were
// made.
//
// nats-server 2.15.2 has no option for it, so its private fields are set: found
// by name and type, under the locks that guard them. When a release has changed
// them this is an error, nothing is changed, and more memory is used: no data
// depends on it. TestCachesAreLimited fails on such a release.
func (s *Server) LimitCaches() error {
	srv, err := s.server()
	if err != nil {
		return err
	}
	return limitCaches(srv, cacheExpire)
}

// limitCaches walks Account.js.streams[*].store.fcfg.{CacheExpire,BlockSize}.
func limitCaches(srv *server.Server, expire time.Duration) (err error) {
	defer func() {
		if r := recover(); r != nil { // reflect's way of saying that a type is another
			err = fmt.Errorf("queue store: cannot limit the block caches of this nats-server: %v; it will use more memory", r)
		}
	}()
	account := private(reflect.ValueOf(srv.GlobalAccount()).Elem(), "js")
	if account.IsNil() {
		return fmt.Errorf("queue store: cannot limit the block caches: JetStream is not enabled for the account")
	}
	jsa := account.Elem()
	mu := private(jsa, "mu").Addr().Interface().(*sync.RWMutex)
	mu.RLock()
	var streams []reflect.Value
	for it := private(jsa, "streams").MapRange(); it.Next(); {
		streams = append(streams, it.Value().Elem())
	}
	mu.RUnlock()
	for _, stream := range streams {
		if store := storeOf(stream); store.IsValid() {
			limit(store, expire)
		}
	}
	return nil
}

// storeOf is a stream's file store, or the zero value for another kind.
func storeOf(stream reflect.Value) reflect.Value {
	mu := private(stream, "mu").Addr().Interface().(*sync.RWMutex)
	mu.RLock()
	defer mu.RUnlock()
	store := private(stream, "store")
	if store.IsNil() || store.Elem().Kind() != reflect.Pointer || store.Elem().Type().String() != "*server.fileStore" {
		return reflect.Value{}
	}
	return store.Elem().Elem()
}

func limit(store reflect.Value, expire time.Duration) {
	mu := private(store, "mu").Addr().Interface().(*sync.RWMutex)
	mu.Lock()
	defer mu.Unlock()
	config := private(store, "fcfg").Addr().Interface().(*server.FileStoreConfig)
	stream := private(store, "cfg").Addr().Interface().(*server.FileStreamInfo)
	// Both are read, under mu, when the next block is made.
	config.CacheExpire = expire
	config.BlockSize = min(config.BlockSize, blockSize(stream.MaxBytes))
}

// private is an unexported field that may be read and set. It panics when there
// is none.
func private(of reflect.Value, name string) reflect.Value {
	f := of.FieldByName(name)
	if !f.IsValid() {
		panic(fmt.Sprintf("%s has no field %s", of.Type(), name))
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}
