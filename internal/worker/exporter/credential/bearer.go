package credential

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/penstock-otel/penstock/internal/config"
)

// bearer is a token in a file that somebody else renews, as the kubelet does.
type bearer struct{ file *config.Reread[string] }

func newBearer(path string, log *slog.Logger) (*bearer, error) {
	read := func() (string, error) {
		token, err := readSecret(path)
		if err != nil {
			return "", err
		}
		if err := checkToken(token); err != nil {
			return "", fmt.Errorf("the token in %s %w", path, err)
		}
		return "Bearer " + token, nil
	}
	file, err := config.NewReread([]string{path}, read, say(log, "token file"))
	if err != nil {
		return nil, err
	}
	return &bearer{file}, nil
}

// Authorization implements outgoing.Credential.
func (b *bearer) Authorization(context.Context) (string, error) { return b.file.Now(), nil }

// Refused implements outgoing.Credential: the file may have changed since the last
// look.
func (b *bearer) Refused(value string) bool { return b.file.Look() != value }

// Close implements outgoing.Credential.
func (b *bearer) Close() {}

// readSecret reads a file that has nothing but a secret, and perhaps the end of a
// line.
func readSecret(path string) (string, error) {
	data, err := config.ReadBounded(path, maxSecret+2)
	return strings.TrimRight(string(data), "\r\n"), err
}

// say tells the log what became of a file that changed.
func say(log *slog.Logger, what string) func(string, error) {
	return func(_ string, err error) {
		if err != nil {
			log.Error(what+" changed and cannot be used; what was read before stays in use", "error", err)
			return
		}
		log.Info(what + " read again")
	}
}
