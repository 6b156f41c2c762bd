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
const cacheExpire = 500 * time.Millisecond

// LimitCaches makes every stream that exists now keep its blocks in memory for
// no longer than cacheExpire. To be called when streams were made.
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

// limitCaches walks Account.js.streams[*].store.fcfg.CacheExpire.
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
			setCacheExpire(store, expire)
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

func setCacheExpire(store reflect.Value, expire time.Duration) {
	mu := private(store, "mu").Addr().Interface().(*sync.RWMutex)
	mu.Lock()
	defer mu.Unlock()
	config := private(store, "fcfg").Addr().Interface().(*server.FileStoreConfig)
	config.CacheExpire = expire // read, under mu, when the next block is made
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
