package app

import (
	"fmt"
	"io"
	"log/slog"
)

// LogConfig is the log section of a role's configuration.
type LogConfig struct {
	Level  string `yaml:"level" help:"Lowest level that is logged." enum:"debug,info,warn,error"`
	Format string `yaml:"format" help:"One JSON object a line, or key=value text." enum:"json,text"`
}

// DefaultLogConfig is info and JSON.
func DefaultLogConfig() LogConfig { return LogConfig{Level: "info", Format: "json"} }

// Logger writes to w as configured. The level can be changed while it is used.
func (c LogConfig) Logger(w io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	lowest, err := c.Lowest()
	if err != nil {
		return nil, nil, err
	}
	level := new(slog.LevelVar)
	level.Set(lowest)
	l, err := NewLogger(w, level, c.Format)
	return l, level, err
}

// Lowest is the level; an empty one is info.
func (c LogConfig) Lowest() (slog.Level, error) {
	switch c.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "info", "":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("log level %q: want debug, info, warn or error", c.Level)
	}
}

// NewLogger makes a logger of format json or text; an empty one is json. Durations
// are written as people read them ("1.5s"), in both formats.
func NewLogger(w io.Writer, level slog.Leveler, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	switch format {
	case "json", "":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("log format %q: want json or text", format)
	}
}

// readable keeps JSON from writing a duration as a bare number of nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// Component is the logger of one part of a role.
func Component(logger *slog.Logger, name string) *slog.Logger {
	return logger.With("component", name)
}
