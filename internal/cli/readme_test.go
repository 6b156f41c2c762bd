package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/settings"
)

// pages are what people read; the printed references are compared elsewhere.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md", "../../bench/results/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[f] = string(text)
		}
	}
	if len(out) < 8 {
		t.Fatalf("found %d pages: the test looks at the wrong place", len(out))
	}
	return out
}

var command = regexp.MustCompile("(?m)(?:go run \\./cmd/penstock|(?:^|`|\\$ )penstock) ([a-z][^`\n|]*)")

// TestCommandsInThePagesExist parses every penstock command line that a page shows.
func TestCommandsInThePagesExist(t *testing.T) {
	found := 0
	for page, text := range pages(t) {
		if strings.Contains(page, "reference/cli.md") {
			continue
		}
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			args := strings.Fields(m[1])
			cmd, rest, err := Root().Find(args)
			if err != nil {
				t.Errorf("%s shows %q: %v", page, m[0], err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s shows %q: %v", page, m[0], err)
			}
			found++
		}
	}
	if found < 5 {
		t.Errorf("found %d commands in the pages", found)
	}
}

// yamlBlock is one with the indentation of the list that it may stand in.
var yamlBlock = regexp.MustCompile("(?s)\n( *)```yaml\n(.*?)```")

// TestConfigurationsInThePagesAreValid loads every YAML block of a page.
func TestConfigurationsInThePagesAreValid(t *testing.T) {
	found := 0
	for page, text := range pages(t) {
		for _, m := range yamlBlock.FindAllStringSubmatch(text, -1) {
			file := filepath.Join(t.TempDir(), "penstock.yaml")
			write(t, file, strings.TrimPrefix(strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n"), "\n"))
			if _, _, err := settings.Load(settings.Source{File: file}); err != nil {
				t.Errorf("%s has this configuration:\n%s\n%v", page, m[2], err)
			}
			found++
		}
	}
	if found < 2 {
		t.Errorf("found %d configurations in the pages", found)
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)

// TestLinksLeadSomewhere looks for every local file that a page links.
func TestLinksLeadSomewhere(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links %s, which is not there", page, m[1])
			}
		}
	}
}

// TestMakeTargetsInThePagesExist holds make lines of the pages against the Makefile.
func TestMakeTargetsInThePagesExist(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)")
	for page, text := range pages(t) {
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s says make %s, which the Makefile does not have", page, m[1])
			}
		}
	}
}
