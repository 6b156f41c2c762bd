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

// Logger writes to w as configured.
func (c LogConfig) Logger(w io.Writer) (*slog.Logger, error) { return NewLogger(w, c.Level, c.Format) }

// NewLogger makes a logger of level debug, info, warn or error and format json
// or text; an empty one is info and json. Durations are written as people read
// them ("1.5s"), in both formats.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var lowest slog.Level
	switch level {
	case "debug":
		lowest = slog.LevelDebug
	case "info", "":
		lowest = slog.LevelInfo
	case "warn":
		lowest = slog.LevelWarn
	case "error":
		lowest = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: lowest, ReplaceAttr: readable}
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
