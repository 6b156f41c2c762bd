package embedded

import (
	"fmt"
	"log/slog"
	"sync"
)

// logger passes the server's log on. A fatal message would end the process in
// nats-server's own main; here it fails Start.
type logger struct {
	to    *slog.Logger
	fatal chan error // cap 1: the first fatal message

	mu   sync.Mutex
	last string // last notice, for the progress of a recovery
}

func newLogger(to *slog.Logger) *logger {
	return &logger{to: to.With("component", "nats-server"), fatal: make(chan error, 1)}
}

func (l *logger) Noticef(format string, v ...any) {
	s := fmt.Sprintf(format, v...)
	l.mu.Lock()
	l.last = s
	l.mu.Unlock()
	l.to.Debug(s)
}

func (l *logger) Warnf(format string, v ...any)  { l.to.Warn(fmt.Sprintf(format, v...)) }
func (l *logger) Errorf(format string, v ...any) { l.to.Error(fmt.Sprintf(format, v...)) }
func (l *logger) Debugf(format string, v ...any) { l.to.Debug(fmt.Sprintf(format, v...)) }
func (l *logger) Tracef(string, ...any)          {} // payloads: never

func (l *logger) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.to.Error(err.Error())
	select {
	case l.fatal <- err:
	default: // the first one is the cause
	}
}

func (l *logger) lastNotice() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
