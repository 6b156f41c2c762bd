package rolecmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/settings"
)

// maxTokenFile bounds a file with a token, in bytes.
const maxTokenFile = 64 << 10

// AccessFlags gives a command the flags by which it says who asks, and how it
// speaks TLS. Their mistakes are usage errors, and never quote a token.
func AccessFlags(cmd *cobra.Command) func() (admin.Access, error) {
	fs := cmd.Flags()
	token := fs.String("token", "", "API key or token to be let in with; other users of this machine see it, $"+settings.EnvToken+" and --token-file they do not")
	tokenFile := fs.String("token-file", "", "`file` with the API key or token (default: $"+settings.EnvToken+")")
	caFile := fs.String("ca-file", "", "certificates in PEM form that the server's must lead to (default: the system's)")
	certFile := fs.String("cert-file", "", "client certificate in PEM form to be let in with")
	keyFile := fs.String("key-file", "", "private key of --cert-file in PEM form")
	skip := fs.Bool("insecure-skip-verify", false, "accept any certificate of the server: anyone in between then has the token")
	return func() (admin.Access, error) {
		a := admin.Access{TLS: config.TLSClient{CAFile: *caFile, CertFile: *certFile, KeyFile: *keyFile, SkipVerify: *skip}}
		if (*certFile == "") != (*keyFile == "") {
			return a, &UsageError{errors.New("--cert-file and --key-file belong together: say both")}
		}
		text, from := os.Getenv(settings.EnvToken), "$"+settings.EnvToken
		if fs.Changed("token") && fs.Changed("token-file") {
			return a, &UsageError{errors.New("--token and --token-file are two credentials: say one")}
		}
		if *token != "" {
			text, from = *token, "--token"
		}
		if *tokenFile != "" {
			var err error
			if text, err = readToken(*tokenFile); err != nil {
				return a, &UsageError{fmt.Errorf("--token-file: %w", err)}
			}
			from = *tokenFile
		}
		text = strings.TrimSpace(text)
		if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return a, &UsageError{fmt.Errorf("%s holds no token: want one line of printable ASCII without spaces", from)}
		}
		a.Token = config.Secret(text)
		return a, nil
	}
}

func readToken(name string) (text string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxTokenFile {
		return "", fmt.Errorf("%s has more than %d bytes", name, maxTokenFile)
	}
	if len(strings.TrimSpace(string(b))) == 0 {
		return "", fmt.Errorf("%s is empty", name)
	}
	return string(b), nil
}
