package app

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// Set at the build:
//
//	-ldflags "-X github.com/penstock-otel/penstock/internal/app.version=v1.2.3 -X ....commit=abc"
var version, commit, date string

// BuildInfo says what binary this is.
type BuildInfo struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	Date      string `json:"date,omitempty"`     // of the commit or the build, RFC 3339
	Modified  bool   `json:"modified,omitempty"` // built from a changed tree
	GoVersion string `json:"go_version"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
}

// Version is the build information: from the linker's flags, and what those
// leave open from what the Go toolchain records.
var Version = sync.OnceValue(func() BuildInfo {
	info, _ := debug.ReadBuildInfo()
	return buildInfo(version, commit, date, info)
})

// buildInfo takes a nil info for a binary without one.
func buildInfo(version, commit, date string, info *debug.BuildInfo) BuildInfo {
	b := BuildInfo{Version: version, Commit: commit, Date: date, GoVersion: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info != nil {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && b.Commit == "":
				b.Commit = s.Value
			case s.Key == "vcs.time" && b.Date == "":
				b.Date = s.Value
			case s.Key == "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

// String is one line for "penstock version".
func (b BuildInfo) String() string {
	short := b.Commit
	if len(short) > 12 {
		short = short[:12]
	}
	if b.Modified {
		short += "+modified"
	}
	return fmt.Sprintf("penstock %s (commit %s, %s, %s/%s)", b.Version, short, b.GoVersion, b.OS, b.Arch)
}
