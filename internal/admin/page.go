package admin

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS []byte

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

const (
	refreshSeconds = 10
	maxDepth       = 5    // deeper data shows as JSON text
	maxRows        = 1000 // of one table
)

func style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleCSS) // the client is gone: nobody to tell
}

// page is the status for people: no script, and fresh every few seconds unless
// ?refresh=off, for those whom a page that moves disturbs.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	status := s.Status(r.Context())
	data := struct {
		Status
		Refresh  int
		Uptime   time.Duration
		Views    []view
		Profiles bool
	}{Status: status, Uptime: time.Duration(status.UptimeSeconds) * time.Second, Profiles: s.o.Config.pprof()}
	if r.URL.Query().Get("refresh") != "off" {
		data.Refresh = refreshSeconds
	}
	for _, section := range status.Sections {
		v := view{Name: section.Name, Error: section.Error}
		if v.Error == "" {
			v.Value = decodeValue(section.Data)
		}
		data.Views = append(data.Views, v)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		s.logger.Error("page cannot be made", "error", err)
		text(w, http.StatusInternalServerError, "the page cannot be made: "+err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the client is gone: nobody to tell
}

// view is one section of the page.
type view struct {
	Name  string
	Error string
	Value *shown
}

// shown is JSON as the page draws it: exactly one of the fields is set.
type shown struct {
	Text   string
	Pairs  []pairShown // an object: two columns
	Heads  []string    // a list of objects: a table, with the rows
	Rows   [][]*shown
	Items  []*shown // any other list
	Hidden int      // rows or items beyond the bound
}

type pairShown struct {
	Key   string
	Value *shown
}

// decodeValue keeps the order of the keys, which a map would lose.
func decodeValue(data []byte) *shown {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := readValue(dec, 0)
	if err != nil {
		return &shown{Text: string(data)}
	}
	return v
}

func readValue(dec *json.Decoder, depth int) (*shown, error) {
	if depth > maxDepth {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		return &shown{Text: string(raw)}, err
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return readObject(dec, depth)
		}
		return readList(dec, depth)
	case string:
		return &shown{Text: t}, nil
	case json.Number:
		return &shown{Text: t.String()}, nil
	case bool:
		return &shown{Text: strconv.FormatBool(t)}, nil
	default:
		return &shown{Text: "–"}, nil // null
	}
}

func readObject(dec *json.Decoder, depth int) (*shown, error) {
	v := &shown{Pairs: []pairShown{}}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		value, err := readValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		v.Pairs = append(v.Pairs, pairShown{fmt.Sprint(key), value})
	}
	_, err := dec.Token()
	return v, err
}

func readList(dec *json.Decoder, depth int) (*shown, error) {
	v := &shown{Items: []*shown{}}
	objects := true
	for dec.More() {
		item, err := readValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		if len(v.Items) >= maxRows {
			v.Hidden++
			continue
		}
		objects = objects && item.Pairs != nil
		v.Items = append(v.Items, item)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if objects && len(v.Items) > 0 {
		v.table()
	}
	return v, nil
}

// table turns a list of objects into heads and rows.
func (v *shown) table() {
	for _, item := range v.Items {
		for _, p := range item.Pairs {
			if !slices.Contains(v.Heads, p.Key) {
				v.Heads = append(v.Heads, p.Key)
			}
		}
	}
	for _, item := range v.Items {
		row := make([]*shown, len(v.Heads))
		for i := range row {
			row[i] = &shown{}
		}
		for _, p := range item.Pairs {
			row[slices.Index(v.Heads, p.Key)] = p.Value
		}
		v.Rows = append(v.Rows, row)
	}
	v.Items = nil
}
