// Command penstock runs every role, and is the operator's tool.
package main

import (
	"os"

	"github.com/penstock-otel/penstock/internal/cli"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

func main() {
	os.Exit(rolecmd.Main(cli.Root(), os.Args[1:], os.Stdout, os.Stderr))
}
