// Package redistest runs real Redis for tests: servers, sentinels and clusters of
// Debian's redis-server, on loopback, without files, which end with the test. It is
// loud when the program is not there.
package redistest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is one process of Redis.
type Server struct {
	Addr string

	t       testing.TB
	program string
	args    []string // beside the port
	dir     string
	cmd     *exec.Cmd
	ended   chan struct{} // of cmd
}

// Start runs a redis-server with more arguments than its address, and waits until it
// answers.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, "redis-server", append([]string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "notice"}, args...)...)
}

func start(t testing.TB, program string, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, program: program, args: args, dir: t.TempDir()}
	t.Cleanup(s.Kill)
	for range 5 { // another may take the port before the server does
		s.Addr = "127.0.0.1:" + strconv.Itoa(FreePort(t))
		if s.run() {
			return s
		}
		s.Kill()
	}
	s.fatal("does not start")
	return nil
}

// FreePort is one that nobody listened on a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// run starts the process and tells whether it answers.
func (s *Server) run() bool {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close() // the process has its own
	s.cmd = exec.Command(s.program, append(append([]string{}, s.args...), "--port", s.port(), "--dir", s.dir)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		cmd := s.cmd
		s.cmd = nil
		s.t.Fatalf("%s: %v: install Debian's redis-server and redis-sentinel", cmd.Path, err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(s.cmd, s.ended) // ended by a signal, or seen below
	for range 1500 {
		// Its own process and no other that has the port.
		if out, err := s.cli("info", "server"); err == nil && strings.Contains(out, fmt.Sprintf("process_id:%d\r", s.cmd.Process.Pid)) {
			return true
		}
		select {
		case <-s.ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.fatal("does not answer after 30 s")
	return false
}

func (s *Server) port() string { _, port, _ := strings.Cut(s.Addr, ":"); return port }

func (s *Server) fatal(what string) {
	s.t.Helper()
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.t.Fatalf("%s on %s %s; it says:\n%s", s.program, s.Addr, what, log)
}

func (s *Server) cli(args ...string) (string, error) {
	out, err := exec.Command("redis-cli", append([]string{"-e", "-h", "127.0.0.1", "-p", s.port()}, args...)...).CombinedOutput()
	return string(out), err
}

// Do is the answer to a command, which has to succeed.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	out, err := s.cli(args...)
	if err != nil {
		s.t.Fatalf("redis-cli %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// Kill ends the process as a crash does. It is idempotent.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
	s.cmd = nil
}

// Restart runs it again on its port; what it had is gone.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if !s.run() {
		s.fatal("does not start again")
	}
}

// Pause stops the process, which hangs from then on and keeps its connections.
func (s *Server) Pause() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// eventually waits for what other processes bring.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for range 1500 {
		if f() {
			return
		}
		time.Sleep(40 * time.Millisecond)
	}
	t.Fatalf("not after a minute: %s", what)
}
