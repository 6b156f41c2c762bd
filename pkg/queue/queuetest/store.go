package queuetest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// key is one for the test alone: queues may share a store.
func (s *suite) key(k string) string { return strings.ToLower(s.stream) + "/" + k }

func (s *suite) save(k, data string, revision uint64) uint64 {
	s.t.Helper()
	r, err := s.q.Save(s.ctx, s.key(k), []byte(data), revision)
	s.must(err)
	return r
}

// list gives key=data of what is under the prefix, without the test's own part.
func (s *suite) list(prefix string) string {
	s.t.Helper()
	values, err := s.q.List(s.ctx, s.key(prefix))
	s.must(err)
	var out []string
	for _, v := range values {
		out = append(out, strings.TrimPrefix(v.Key, s.key(""))+"="+string(v.Data))
	}
	return strings.Join(out, " ")
}

func (s *suite) wantList(prefix, want string) {
	s.t.Helper()
	if got := s.list(prefix); got != want {
		s.t.Fatalf("under %q: %q, want %q", prefix, got, want)
	}
}

func (s *suite) storeConversation() {
	k := s.key("a")
	_, err := s.q.Load(s.ctx, k)
	s.wantErr(err, queue.ErrNotFound)
	s.wantList("", "")
	s.must(s.q.Remove(s.ctx, k, queue.AnyRevision))
	s.must(s.q.Remove(s.ctx, k, 0))
	s.must(s.q.Remove(s.ctx, k, 77))
	save := func(data string, revision uint64, want error) uint64 {
		s.t.Helper()
		r, err := s.q.Save(s.ctx, k, []byte(data), revision)
		s.wantErr(err, want)
		return r
	}
	load := func(data string, revision uint64) {
		s.t.Helper()
		v, err := s.q.Load(s.ctx, k)
		s.must(err)
		if v.Key != k || string(v.Data) != data || v.Revision != revision {
			s.t.Fatalf("loaded %+v, want %s at %d", v, data, revision)
		}
	}
	save("x", 77, queue.ErrConflict) // nothing is there
	one := save("one", 0, nil)
	load("one", one)
	save("x", 0, queue.ErrConflict)
	two := save("two", one, nil)
	if one == 0 || two <= one {
		s.t.Fatalf("revisions %d, %d", one, two)
	}
	save("x", one, queue.ErrConflict)
	save("x", two+1000, queue.ErrConflict)
	load("two", two)
	three := save("", queue.AnyRevision, nil)
	load("", three)
	s.wantErr(s.q.Remove(s.ctx, k, two), queue.ErrConflict)
	s.wantErr(s.q.Remove(s.ctx, k, 0), queue.ErrConflict)
	load("", three)
	s.must(s.q.Remove(s.ctx, k, three))
	_, err = s.q.Load(s.ctx, k)
	s.wantErr(err, queue.ErrNotFound)
	s.wantList("", "")
	save("x", three, queue.ErrConflict) // gone is changed
	four := save("four", 0, nil)
	save("x", 0, queue.ErrConflict)
	load("four", four)
	s.must(s.q.Remove(s.ctx, k, queue.AnyRevision))
	five := save("five", queue.AnyRevision, nil)
	if three <= two || four <= three || five <= four {
		s.t.Fatalf("revisions do not rise: %d", []uint64{one, two, three, four, five})
	}
	load("five", five)

	// Data is the caller's on either side.
	v, err := s.q.Load(s.ctx, k)
	s.must(err)
	v.Data[0] = 'X'
	data := []byte("six")
	six, err := s.q.Save(s.ctx, k, data, v.Revision)
	s.must(err)
	data[0] = 'X'
	load("six", six)
}

func (s *suite) storeList() {
	for _, k := range []string{"b/2", "b/10", "a", "b/1.x", "bb/1", "c/d/e", "b/1-x"} {
		s.save(k, k, 0)
	}
	for _, c := range []struct{ prefix, want string }{
		{"", "a=a b/1-x=b/1-x b/1.x=b/1.x b/10=b/10 b/2=b/2 bb/1=bb/1 c/d/e=c/d/e"},
		{"b", "b/1-x=b/1-x b/1.x=b/1.x b/10=b/10 b/2=b/2 bb/1=bb/1"},
		{"b/", "b/1-x=b/1-x b/1.x=b/1.x b/10=b/10 b/2=b/2"},
		{"b/1", "b/1-x=b/1-x b/1.x=b/1.x b/10=b/10"},
		{"b/1.", "b/1.x=b/1.x"},
		{"c/d/e", "c/d/e=c/d/e"},
		{"c/d/", "c/d/e=c/d/e"},
		{"a", "a=a"},
		{"a/", ""},
		{"z/", ""},
	} {
		s.wantList(c.prefix, c.want)
	}
	all, err := s.q.List(s.ctx, "")
	s.must(err)
	if len(all) < 7 {
		s.t.Fatalf("%d values in all", len(all))
	}
	v, err := s.q.Load(s.ctx, s.key("a"))
	s.must(err)
	again := s.save("a", "again", v.Revision)
	list, err := s.q.List(s.ctx, s.key("a"))
	s.must(err)
	if len(list) != 1 || string(list[0].Data) != "again" || list[0].Revision != again {
		s.t.Fatalf("list %+v, want revision %d", list, again)
	}
	s.must(s.q.Remove(s.ctx, s.key("b/10"), queue.AnyRevision))
	s.wantList("b/1", "b/1-x=b/1-x b/1.x=b/1.x")
}

// storeCounter: of those who have read the same, one may write.
func (s *suite) storeCounter() {
	k := s.key("counter")
	const workers, each = 8, 15
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for done := 0; done < each; {
				v, err := s.q.Load(s.ctx, k)
				n := 0
				switch {
				case err == nil:
					if n, err = strconv.Atoi(string(v.Data)); err != nil {
						s.t.Error(err)
						return
					}
				case !s.is(err, queue.ErrNotFound):
					return
				}
				_, err = s.q.Save(s.ctx, k, []byte(strconv.Itoa(n+1)), v.Revision)
				if err == nil {
					done++
				} else if !s.is(err, queue.ErrConflict) {
					return
				}
			}
		})
	}
	wg.Wait()
	v, err := s.q.Load(s.ctx, k)
	s.must(err)
	if string(v.Data) != strconv.Itoa(workers*each) {
		s.t.Fatalf("the counter is %s, want %d", v.Data, workers*each)
	}
}

// storeBusy: List misses nothing that is there while it is written anew.
func (s *suite) storeBusy() {
	const n = 60
	for i := range n {
		s.save(fmt.Sprintf("v/%02d", i), "0", 0)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				k := s.key(fmt.Sprintf("v/%02d", (w*n/4+i)%n))
				if _, err := s.q.Save(s.ctx, k, []byte(strconv.Itoa(i)), queue.AnyRevision); err != nil {
					s.t.Error(err)
					return
				}
				// One that comes and goes beside them.
				k = s.key(fmt.Sprintf("w/%d", w))
				if _, err := s.q.Save(s.ctx, k, nil, 0); err != nil {
					s.t.Error(err)
				}
				if err := s.q.Remove(s.ctx, k, queue.AnyRevision); err != nil {
					s.t.Error(err)
				}
			}
		})
	}
	revisions := map[string]uint64{}
	for range 60 {
		values, err := s.q.List(s.ctx, s.key("v/"))
		s.must(err)
		if len(values) != n {
			s.t.Fatalf("%d values of %d", len(values), n)
		}
		for _, v := range values {
			if v.Revision < revisions[v.Key] {
				s.t.Fatalf("%s went back from %d to %d", v.Key, revisions[v.Key], v.Revision)
			}
			revisions[v.Key] = v.Revision
		}
	}
	cancel()
	wg.Wait()
	s.wantList("w/", "")
}

func (s *suite) storeLimits() {
	full := bytes.Repeat([]byte{0xff, 0}, queue.MaxValueBytes/2)
	for i := range 20 {
		_, err := s.q.Save(s.ctx, s.key(fmt.Sprint(i)), full, 0)
		s.must(err)
	}
	_, err := s.q.Save(s.ctx, s.key("0"), append(full, 1), queue.AnyRevision)
	s.wantErr(err, queue.ErrTooLarge)
	values, err := s.q.List(s.ctx, s.key(""))
	s.must(err)
	for _, v := range values {
		if !bytes.Equal(v.Data, full) {
			s.t.Fatalf("%s has %d bytes", v.Key, len(v.Data))
		}
		s.must(s.q.Remove(s.ctx, v.Key, v.Revision))
	}
	if len(values) != 20 {
		s.t.Fatalf("%d values, want 20", len(values))
	}
	for _, k := range []string{"", ".a", "a.", "/a", "a/", "a//b", "a..b", "a/.b", "a b", "a*", "ä", "a>", "a=b", strings.Repeat("a", 257)} {
		_, load := s.q.Load(s.ctx, k)
		_, save := s.q.Save(s.ctx, k, nil, 0)
		for what, err := range map[string]error{"load": load, "save": save, "remove": s.q.Remove(s.ctx, k, 0)} {
			if err == nil || !strings.Contains(err.Error(), "key") {
				s.t.Errorf("%s of %q: %v", what, k, err)
			}
		}
	}
	for _, p := range []string{".a", "/", "a//", "a b", "a*", strings.Repeat("a", 257)} {
		if _, err := s.q.List(s.ctx, p); err == nil {
			s.t.Errorf("prefix %q is accepted", p)
		}
	}
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	want := func(ctx context.Context, want error) {
		s.t.Helper()
		_, load := s.q.Load(ctx, s.key("a"))
		_, save := s.q.Save(ctx, s.key("a"), nil, 0)
		_, list := s.q.List(ctx, s.key("a"))
		for _, err := range []error{load, save, list, s.q.Remove(ctx, s.key("a"), 0)} {
			s.wantErr(err, want)
		}
	}
	want(ended, queue.ErrUnavailable)
	s.must(s.q.Close())
	want(s.ctx, queue.ErrClosed)
}
