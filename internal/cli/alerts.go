package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

// alertsPath begins the routes of alerts.
const alertsPath = "/api/v1/alerts"

func alertsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "alerts", Short: "see what fires, take it, silence it, and what happened",
		Long: "Asks a process that runs an alerter (up, alerter). An incident is all alerts that belong together, and is what people\n" +
			"take and give back. Ids may be shortened to an end or a beginning that only one has."}
	cmd.AddCommand(alertsList(), alertsShow(), alertsAck(), alertsUnack(), alertsResolve(), alertsSilence(), alertsUnsilence(), alertsHistory(), alertsStats(), alertsWatch())
	return cmd
}

// alertFlags choose among alerts or incidents.
type alertFlags struct {
	severity, tenant, match []string
	rule                    string
}

func addAlertFlags(cmd *cobra.Command) *alertFlags {
	f := &alertFlags{}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.severity, "severity", nil, "values of the label severity, again for more")
	fs.StringSliceVar(&f.tenant, "tenant", nil, "tenants, again for more")
	fs.StringArrayVar(&f.match, "match", nil, "a `matcher` on labels, as service=\"checkout\" or severity=~\"error|critical\"; again for more, all must hold")
	fs.StringVar(&f.rule, "rule", "", "name of the rule")
	return f
}

func (f *alertFlags) query() url.Values {
	q := url.Values{"severity": f.severity, "tenant": f.tenant, "match": f.match}
	if f.rule != "" {
		q.Set("rule", f.rule)
	}
	return q
}

func alertsList() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Aliases: []string{"list"}, Short: "list incidents that go on, or alerts, or silences", Args: cobra.NoArgs,
		Long: "Lists the incidents that go on: those that nobody has first, and of these the worst. With --all also those that have\n" +
			"ended a while ago.",
		Example: "  penstock alerts ls\n  penstock alerts ls --alerts --match 'service=\"checkout\"'\n  penstock alerts ls --silences -o json"}
	flags := addAlertFlags(cmd)
	single := cmd.Flags().Bool("alerts", false, "the single alerts, in place of incidents")
	silences := cmd.Flags().Bool("silences", false, "silences, in place of incidents")
	all := cmd.Flags().Bool("all", false, "also what has ended a while ago")
	limit := cmd.Flags().Int("limit", 100, "how many, the newest; 0: all")
	return remote(cmd, func(cmd *cobra.Command, addr, format string, _ []string) error {
		switch {
		case *limit < 0:
			return &rolecmd.UsageError{Err: fmt.Errorf("--limit is %d: want 0 or more", *limit)}
		case *single && *silences:
			return &rolecmd.UsageError{Err: fmt.Errorf("--alerts and --silences are two lists: say one")}
		case *silences && (flags.rule != "" || len(flags.severity)+len(flags.match) > 0):
			return &rolecmd.UsageError{Err: fmt.Errorf("--silences takes --tenant and --all alone")}
		case *silences:
			return listSilences(cmd, addr, format, flags, *all)
		case *single:
			return listAlerts(cmd, addr, format, flags, *all, *limit)
		}
		return listIncidents(cmd, addr, format, flags, *all, *limit)
	})
}

// byPage asks for pages of a list until there are limit of them, or, with 0, no more.
// page asks for one, and says how many there are then and where the next begins.
func byPage(q url.Values, limit int, page func(path string) (n int, next string, err error)) (more bool, err error) {
	for n, next := 0, ""; ; {
		want := 1000
		if limit > 0 {
			want = min(want, limit-n)
		}
		q.Set("limit", strconv.Itoa(want))
		if next != "" {
			q.Set("cursor", next)
		}
		if n, next, err = page("?" + q.Encode()); err != nil || next == "" || limit > 0 && n >= limit {
			return next != "", err
		}
	}
}

func hintMore(cmd *cobra.Command, more bool) {
	if more {
		fmt.Fprintln(cmd.ErrOrStderr(), "there may be more: --limit 0 for all") //nolint:errcheck // a hint
	}
}

func listIncidents(cmd *cobra.Command, addr, format string, flags *alertFlags, all bool, limit int) error {
	q := flags.query()
	if !all {
		q["state"] = []string{"open", "acked"}
	}
	out := api.IncidentList{Incidents: []api.Incident{}}
	more, err := byPage(q, limit, func(query string) (int, string, error) {
		var page api.IncidentList
		err := getJSON(cmd.Context(), addr, alertsPath+"/incidents"+query, &page)
		out.Incidents, out.Next, out.Position = append(out.Incidents, page.Incidents...), page.Next, page.Position
		return len(out.Incidents), page.Next, err
	})
	if err != nil {
		return err
	}
	if err := rolecmd.Output(cmd.OutOrStdout(), format, out, func(w io.Writer) error { return incidentsTable(w, out.Incidents, all) }); err != nil {
		return err
	}
	hintMore(cmd, more)
	return nil
}

func listAlerts(cmd *cobra.Command, addr, format string, flags *alertFlags, all bool, limit int) error {
	q := flags.query()
	if !all {
		q.Set("state", "firing")
	}
	out := api.AlertList{Alerts: []api.Alert{}}
	more, err := byPage(q, limit, func(query string) (int, string, error) {
		var page api.AlertList
		err := getJSON(cmd.Context(), addr, alertsPath+query, &page)
		out.Alerts, out.Next, out.Position = append(out.Alerts, page.Alerts...), page.Next, page.Position
		return len(out.Alerts), page.Next, err
	})
	if err != nil {
		return err
	}
	if err := rolecmd.Output(cmd.OutOrStdout(), format, out, func(w io.Writer) error { return alertsTable(w, out.Alerts, all) }); err != nil {
		return err
	}
	hintMore(cmd, more)
	return nil
}

func listSilences(cmd *cobra.Command, addr, format string, flags *alertFlags, all bool) error {
	q := url.Values{"tenant": flags.tenant}
	if !all {
		q["state"] = []string{"active", "pending"}
	}
	var out api.SilenceList
	if err := getJSON(cmd.Context(), addr, alertsPath+"/silences?"+q.Encode(), &out); err != nil {
		return err
	}
	return rolecmd.Output(cmd.OutOrStdout(), format, out, func(w io.Writer) error { return silencesTable(w, out.Silences, all) })
}

func alertsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "show one incident: its alerts, who has it, who was told, what happened", Args: cobra.ExactArgs(1),
		Example: "  penstock alerts show DSTMAC"}
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		var d api.IncidentDetail
		if err := getJSON(cmd.Context(), addr, alertsPath+"/incidents/"+url.PathEscape(args[0]), &d); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, d, func(w io.Writer) error { return incidentText(w, &d) })
	})
}

// byFlag is who does something, for a process to which nothing proves that.
func byFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("by", "", "who does it, where no credential says that and the process is on this machine (default: the user of this machine)")
}

// who is what --by says, or the user.
func who(by string) string {
	if by != "" {
		return by
	}
	u, err := user.Current()
	if err != nil {
		return ""
	}
	name := u.Username[strings.LastIndexByte(u.Username, '\\')+1:] // of a domain
	if len(name) > 64 || strings.Contains(name, ":") {
		return ""
	}
	return name
}

func alertsAck() *cobra.Command {
	cmd := &cobra.Command{Use: "ack ID", Short: "take an incident: its policy tells nobody else", Args: cobra.ExactArgs(1),
		Long: "Takes an incident. Levels of its policy with while: unresolved go on. With --for, or as its policy says, it opens again\n" +
			"if it still goes on then.",
		Example: "  penstock alerts ack DSTMAC --comment 'I look at it' --for 1h"}
	comment := cmd.Flags().String("comment", "", "why, or what is being done")
	hold := cmd.Flags().String("for", "", "after this `duration` it opens again, as 30m or 1h (default: when its policy says, or never)")
	by := byFlag(cmd)
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		return actOnIncident(cmd, addr, format, args[0], "ack", api.AckRequest{AlertActor: api.AlertActor{By: who(*by)}, Comment: *comment, For: *hold})
	})
}

func alertsUnack() *cobra.Command {
	cmd := &cobra.Command{Use: "unack ID", Short: "give an incident back: its policy begins again", Args: cobra.ExactArgs(1)}
	return incidentAction(cmd, "unack")
}

func alertsResolve() *cobra.Command {
	cmd := &cobra.Command{Use: "resolve ID", Short: "end an incident and its alerts", Args: cobra.ExactArgs(1),
		Long: "Ends an incident and its alerts. What the next evaluation still finds to fire fires again: to have peace, ack or silence."}
	return incidentAction(cmd, "resolve")
}

func incidentAction(cmd *cobra.Command, verb string) *cobra.Command {
	comment := cmd.Flags().String("comment", "", "why")
	by := byFlag(cmd)
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		return actOnIncident(cmd, addr, format, args[0], verb, api.IncidentRequest{AlertActor: api.AlertActor{By: who(*by)}, Comment: *comment})
	})
}

func actOnIncident(cmd *cobra.Command, addr, format, id, verb string, body any) error {
	var i api.Incident
	if err := askJSON(cmd.Context(), http.MethodPost, addr, alertsPath+"/incidents/"+url.PathEscape(id)+"/"+verb, body, &i); err != nil {
		return err
	}
	return rolecmd.Output(cmd.OutOrStdout(), format, i, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s (%s) is %s\n", printable(i.Title), i.ID, incidentState(&i))
		return err
	})
}

func alertsSilence() *cobra.Command {
	cmd := &cobra.Command{Use: "silence MATCHER...", Short: "keep notifications of matching alerts back for a while", Args: cobra.MinimumNArgs(1),
		Long: "Makes a silence for the alerts that all matchers hold for, in the syntax of Alertmanager. It wants --for or --until, so\n" +
			"that it is not forgotten. Alerts that are silenced fire and resolve as others do, and nobody is told.",
		Example: "  penstock alerts silence 'alertname=\"HostDown\"' 'instance=~\"web-.*\"' --for 2h --comment 'new kernel'\n  penstock alerts silence severity=warning --until 2026-02-01T08:00:00Z --tenant acme"}
	fs := cmd.Flags()
	hold := fs.String("for", "", "how long, as 2h or 1d")
	until := fs.String("until", "", "until this `time`: RFC 3339")
	starts := fs.String("from", "", "begin at this `time` (default: now)")
	comment := fs.String("comment", "", "why")
	tenant := fs.String("tenant", "", "whose alerts (default: the only tenant of who asks, else those without a tenant)")
	by := byFlag(cmd)
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		b := api.SilenceRequest{AlertActor: api.AlertActor{By: who(*by)}, Tenant: *tenant, Matchers: args, For: *hold, Comment: *comment}
		if (*hold == "") == (*until == "") {
			return &rolecmd.UsageError{Err: fmt.Errorf("say for how long: one of --for 2h and --until TIME")}
		}
		now := time.Now()
		var err error
		if b.Ends, err = parseWhen(*until, now); err != nil {
			return &rolecmd.UsageError{Err: fmt.Errorf("--until: %w", err)}
		}
		if b.Starts, err = parseWhen(*starts, now); err != nil {
			return &rolecmd.UsageError{Err: fmt.Errorf("--from: %w", err)}
		}
		var s api.Silence
		if err := askJSON(cmd.Context(), http.MethodPost, addr, alertsPath+"/silences", b, &s); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, s, func(w io.Writer) error {
			whose := ""
			if s.Tenant != "" {
				whose = " of " + printable(s.Tenant)
			}
			_, err := fmt.Fprintf(w, "silence %s is %s until %s; it matches %s%s now\n", s.ID, s.State, clock(s.Ends), many(s.Firing, "firing alert"), whose)
			return err
		})
	})
}

func alertsUnsilence() *cobra.Command {
	cmd := &cobra.Command{Use: "unsilence ID", Short: "end a silence now", Args: cobra.ExactArgs(1), Example: "  penstock alerts ls --silences\n  penstock alerts unsilence DSTMAC"}
	by := byFlag(cmd)
	return remote(cmd, func(cmd *cobra.Command, addr, format string, args []string) error {
		var s api.Silence
		path := alertsPath + "/silences/" + url.PathEscape(args[0]) + "?" + url.Values{"by": {who(*by)}}.Encode()
		if err := askJSON(cmd.Context(), http.MethodDelete, addr, path, nil, &s); err != nil {
			return err
		}
		return rolecmd.Output(cmd.OutOrStdout(), format, s, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "silence %s (%s) has ended\n", s.ID, printable(strings.Join(s.Matchers, " ")))
			return err
		})
	})
}
