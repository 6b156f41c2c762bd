package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/identity"
)

// keysPatience is how long a command waits for another that writes.
const keysPatience = 10 * time.Second

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "make, list and revoke API keys",
		Long: "API keys are kept in a file, as hashes. Running processes read it again within seconds of a change; where each has\n" +
			"a file of its own, as a mounted Kubernetes Secret is, that is what has to be brought to them."}
	cmd.AddCommand(keysCreate(), keysList(), keysRevoke())
	return cmd
}

// keysFlag gives a command the flag that names the keys file.
func keysFlag(cmd *cobra.Command) func() (string, error) {
	file := cmd.Flags().String("file", "", "the keys `file` (default: auth.keys_file of the configuration)")
	flags := rolecmd.Add(cmd)
	return func() (string, error) {
		if *file != "" {
			return *file, nil
		}
		p, err := flags.Process()
		if err != nil {
			return "", err
		}
		if p.Settings.Auth.KeysFile == "" {
			return "", &rolecmd.UsageError{Err: errors.New("no keys file: say --file, or set auth.keys_file")}
		}
		return p.Settings.Auth.KeysFile, nil
	}
}

// MadeKey is what keys create prints: the one time that anybody has the key.
type MadeKey struct {
	Key     string       `json:"key"`
	Details identity.Key `json:"details"`
}

func keysCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "create an API key, and print it once", Args: cobra.NoArgs,
		Long: "Adds a key to the file, which is made if it is not there, and prints it on standard output. It is not kept: what is\n" +
			"in the file is a hash of it.",
		Example: "  penstock keys create --file keys --name checkout --tenant shop --expires 90d\n  penstock keys create --name dashboards --roles view"}
	fs := cmd.Flags()
	name := fs.String("name", "", "what it is for; it stands in logs and in the audit stream as key:NAME")
	tenant := fs.String("tenant", "", "tenant of who uses it")
	tenants := fs.StringSlice("tenants", nil, "further tenants it may speak for; * for all")
	roles := fs.StringSlice("roles", []string{"ingest"}, "what it may: ingest, view, operate, admin")
	expires := fs.String("expires", "", "how long it holds, such as 90d, or until when, as RFC 3339 (default: for ever)")
	file := keysFlag(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		until, err := parseExpiry(*expires, time.Now())
		if err != nil {
			return &rolecmd.UsageError{Err: fmt.Errorf("--expires: %w", err)}
		}
		k, secret, err := identity.NewKey(identity.Key{Name: *name, Roles: *roles, Tenant: *tenant, Tenants: *tenants,
			Created: time.Now().UTC().Truncate(time.Second), Expires: until})
		if err != nil {
			return &rolecmd.UsageError{Err: err}
		}
		path, err := file()
		if err != nil {
			return err
		}
		err = editKeys(cmd, path, func(keys []identity.Key) ([]identity.Key, error) {
			for _, x := range keys {
				if x.Name == k.Name && x.State(time.Now()) == identity.KeyActive {
					fmt.Fprintf(cmd.ErrOrStderr(), "key %s has the name %q too: revoke it once nobody uses it\n", x.ID, x.Name) //nolint:errcheck // a terminal
				}
			}
			return append(keys, k), nil
		})
		if err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), *output, MadeKey{secret.Reveal(), k}, func(w io.Writer) error {
			fmt.Fprintf(cmd.ErrOrStderr(), "key %s is in %s; it is shown this once:\n", k.ID, path) //nolint:errcheck // a terminal
			_, err := fmt.Fprintln(w, secret.Reveal())
			return err
		})
	}
	return cmd
}

// parseExpiry reads a time, or how long from now; "" is never.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := config.ParseDuration(text)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is no time: want how long, such as 90d, or RFC 3339 such as 2027-01-31T12:00:00Z", text)
		}
		until = now.Add(time.Duration(d))
	}
	if !until.After(now) {
		return time.Time{}, fmt.Errorf("%q has passed", text)
	}
	return until.UTC().Truncate(time.Second), nil
}

func editKeys(cmd *cobra.Command, path string, change func([]identity.Key) ([]identity.Key, error)) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), keysPatience)
	defer cancel()
	return identity.EditKeys(ctx, path, change)
}

func keysList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "list the API keys of a file", Args: cobra.NoArgs}
	file := keysFlag(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		path, err := file()
		if err != nil {
			return err
		}
		keys, err := identity.ReadKeys(path)
		if err != nil {
			return err
		}
		if keys == nil {
			keys = []identity.Key{}
		}
		return rolecmd.Output(cmd.OutOrStdout(), *output, keys, func(w io.Writer) error { return keysTable(w, keys, time.Now()) })
	}
	return cmd
}

func keysTable(w io.Writer, keys []identity.Key, now time.Time) error {
	t := newTable(w)
	t.row("ID\tNAME\tSTATE\tROLES\tTENANT\tSPEAKS FOR\tCREATED\tEXPIRES")
	for _, k := range keys {
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", k.ID, clip(k.Name, 40), k.State(now), strings.Join(k.Roles, ","),
			clip(k.Tenant, 63), clip(strings.Join(k.Tenants, ","), 40), day(k.Created), day(k.Expires))
	}
	t.flush()
	return t.err
}

// day is a time as a table has it.
func day(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

func keysRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "have an API key believed no more", Args: cobra.ExactArgs(1),
		Long:    "The key stays in the file as revoked, so that who still uses it is told so, and counted as such.",
		Example: "  penstock keys revoke mzxw6ytboi4dq"}
	file := keysFlag(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := rolecmd.CheckOutput(*output); err != nil {
			return err
		}
		if strings.Contains(args[0], "_") { // and is not quoted
			return &rolecmd.UsageError{Err: errors.New("this is a whole key, which does not belong on a command line: say its id, the part between the first two _")}
		}
		path, err := file()
		if err != nil {
			return err
		}
		var revoked identity.Key
		err = editKeys(cmd, path, func(keys []identity.Key) ([]identity.Key, error) {
			n := slices.IndexFunc(keys, func(k identity.Key) bool { return k.ID == args[0] })
			if n < 0 {
				return nil, fmt.Errorf("%s has no key %q; penstock keys list shows them", path, args[0])
			}
			if keys[n].RevokedAt.IsZero() {
				keys[n].RevokedAt = time.Now().UTC().Truncate(time.Second)
			}
			revoked = keys[n]
			return keys, nil
		})
		if err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), *output, revoked, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "key %s (%s) is revoked since %s\n", revoked.ID, revoked.Name, day(revoked.RevokedAt))
			return err
		})
	}
	return cmd
}
