package replay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/internal/worker/exporter/outgoing"
)

// Target is a destination of one job alone. It lies in the queue for all who may
// read that, so it holds no secret.
type Target struct {
	Protocol    string         `json:"protocol" enum:"grpc,http,file" doc:"How it is spoken to"`
	Endpoint    string         `json:"endpoint" doc:"grpc: host:port; http: base URL; file: a path on the machine of the worker"`
	TLS         TLS            `json:"tls,omitzero"`
	Compression string         `json:"compression,omitempty" doc:"none, gzip, zstd or snappy"`
	Headers     []TargetHeader `json:"headers,omitempty" doc:"Headers of each export"`
}

// TLS is how a target is spoken to; see config.TLSClient.
type TLS struct {
	Insecure   bool   `json:"insecure,omitempty" doc:"Plain text"`
	CAFile     string `json:"ca_file,omitempty"`
	CertFile   string `json:"cert_file,omitempty"`
	KeyFile    string `json:"key_file,omitempty"`
	ServerName string `json:"server_name,omitempty"`
	SkipVerify bool   `json:"skip_verify,omitempty" doc:"Accept any certificate"`
}

// TargetHeader is a header whose value is a reference: ${env:NAME} or
// ${file:PATH}, with a word such as "Bearer" before it where needed. Who runs
// the job resolves it.
type TargetHeader struct {
	Name  string `json:"name"`
	Value string `json:"value" doc:"A reference to an environment variable or a file of the worker, after a word such as Bearer where needed"`
}

var reference = regexp.MustCompile(`^([A-Za-z]+ )?\$\{(env|file):([^}]+)\}$`)

// Validate reports what is wrong with t, for people. No value of a header is in
// its errors.
func (t *Target) Validate() error {
	var errs []error
	if t.Protocol == worker.ProtocolDebug {
		errs = append(errs, errors.New("protocol: debug prints and sends nowhere: want grpc, http or file"))
	}
	if t.Protocol == worker.ProtocolFile && !filepath.IsAbs(t.Endpoint) {
		errs = append(errs, fmt.Errorf("endpoint: %q: want an absolute path", t.Endpoint))
	}
	for i, h := range t.Headers {
		if err := outgoing.CheckName(h.Name); err != nil {
			errs = append(errs, fmt.Errorf("headers[%d].name %w", i, err))
		}
		if !reference.MatchString(h.Value) {
			errs = append(errs, fmt.Errorf("headers[%d].value of %s: jobs are kept in the queue, so that a value is a reference which the worker resolves: ${env:NAME} or ${file:PATH}, after a word such as Bearer where needed", i, h.Name))
		}
	}
	if d := t.destination("target"); len(errs) == 0 {
		errs = append(errs, d.Validate(), d.TLS.Validate())
	}
	return errors.Join(errs...)
}

// destination has everything but the headers.
func (t *Target) destination(name string) worker.Destination {
	var d worker.Destination
	d.SetDefaults()
	d.Name, d.Protocol, d.Endpoints = name, t.Protocol, []string{t.Endpoint}
	if t.Compression != "" {
		d.Compression = t.Compression
	}
	d.TLS = config.TLSClient{Insecure: t.TLS.Insecure, CAFile: t.TLS.CAFile, CertFile: t.TLS.CertFile, KeyFile: t.TLS.KeyFile,
		ServerName: t.TLS.ServerName, SkipVerify: t.TLS.SkipVerify}
	return d
}

// DefaultEnvPrefix begins the environment variables that a target may name.
const DefaultEnvPrefix = "PENSTOCK_REPLAY_"

// Trust bounds what a stored job may touch on the machine that runs it: who may
// start a job could else send any file or variable of the worker to a target of
// his own.
type Trust struct {
	// EnvPrefix begins the variables that may be referred to; "":
	// DefaultEnvPrefix.
	EnvPrefix string
	// Dir has the files that a target may name: references, certificates, and
	// where protocol file writes. "": none.
	Dir string
	// Everything may be touched: the process is the operator's own.
	Everything bool
}

// Destination is the configuration of a target, with its references resolved.
func (t *Target) Destination(name string, trust Trust) (worker.Destination, error) {
	if err := t.Validate(); err != nil {
		return worker.Destination{}, err
	}
	d := t.destination(name)
	files := []string{t.TLS.CAFile, t.TLS.CertFile, t.TLS.KeyFile}
	if t.Protocol == worker.ProtocolFile {
		files = append(files, t.Endpoint)
	}
	for _, path := range files {
		if err := trust.file(path); path != "" && err != nil {
			return worker.Destination{}, err
		}
	}
	for _, h := range t.Headers {
		m := reference.FindStringSubmatch(h.Value)
		value, err := trust.resolve(m[2], m[3])
		if err != nil {
			return worker.Destination{}, fmt.Errorf("header %s: %w", h.Name, err)
		}
		d.Headers = append(d.Headers, config.NameValue{Name: h.Name, Value: config.Secret(m[1] + value)})
	}
	return d, d.Validate()
}

// maxSecret is the largest file that is read for a header.
const maxSecret = 64 << 10

func (t Trust) resolve(kind, name string) (string, error) {
	if kind == "env" {
		prefix := t.EnvPrefix
		if prefix == "" {
			prefix = DefaultEnvPrefix
		}
		if !t.Everything && !strings.HasPrefix(name, prefix) {
			return "", fmt.Errorf("${env:%s}: targets of jobs may refer to variables that begin with %s alone", name, prefix)
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("${env:%s}: the variable is not set in the process that runs the job", name)
		}
		return value, nil
	}
	if err := t.file(name); err != nil {
		return "", err
	}
	st, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if st.Size() > maxSecret || !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s: want a file of at most %d bytes", name, maxSecret)
	}
	data, err := os.ReadFile(name)
	return strings.TrimRight(string(data), "\r\n"), err
}

// file tells whether a path may be used.
func (t Trust) file(path string) error {
	if t.Everything {
		return nil
	}
	if t.Dir == "" {
		return fmt.Errorf("%s: targets of jobs may name no files on this worker", path)
	}
	rel, err := filepath.Rel(t.Dir, filepath.Clean(path))
	if err != nil || !filepath.IsLocal(rel) {
		return fmt.Errorf("%s: targets of jobs may name files in %s alone", path, t.Dir)
	}
	return nil
}
