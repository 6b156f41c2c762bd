package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

// confirm asks on a terminal, and wants --yes elsewhere. No is false, and no error.
func confirm(cmd *cobra.Command, question string) (bool, error) {
	in := cmd.InOrStdin()
	f, ok := in.(*os.File)
	if ok && !term.IsTerminal(int(f.Fd())) {
		return false, &rolecmd.UsageError{Err: errors.New(question + " This is no terminal to answer on: say --yes")}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question) //nolint:errcheck // a terminal
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return true, nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "left as it is") //nolint:errcheck // a terminal
	return false, nil
}

// clip shortens a name to n characters.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	if s == "" {
		return "–"
	}
	return s
}

// squeeze cuts the middle out of a name: those of a family differ at their ends.
func squeeze(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return clip(s, n)
	}
	return string(r[:n/2]) + "…" + string(r[len(r)-(n-n/2-1):])
}

// age is how long ago a time was.
func age(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return seconds(max(0, time.Since(t).Seconds()))
}
