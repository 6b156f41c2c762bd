package alerter

import (
	"context"
	"log/slog"
)

// warnings keeps what upstream says of its daily work out of the log.
type warnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h warnings) WithAttrs(list []slog.Attr) slog.Handler {
	return warnings{h.Handler.WithAttrs(list)}
}

// WithGroup implements slog.Handler.
func (h warnings) WithGroup(name string) slog.Handler { return warnings{h.Handler.WithGroup(name)} }
