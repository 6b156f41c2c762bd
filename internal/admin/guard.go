package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/internal/identity"
)

// Who may operate: change something, or see payload.
const (
	// OperateLoopback answers requests from this machine alone, and those that
	// prove who makes them.
	OperateLoopback = "loopback"
	// OperateAny answers whoever reaches the port; something before it decides.
	OperateAny = "any"
	// OperateOff answers nobody.
	OperateOff = "off"
)

// Problem is an answer that is not 2xx, as RFC 9457 has it.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what is wrong, with which thing, and what to do.
	Detail string `json:"detail"`
}

// WriteProblem answers with a problem.
func WriteProblem(w http.ResponseWriter, status int, format string, args ...any) {
	b, err := json.Marshal(Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)})
	if err != nil { // strings and a number: not possible
		panic(err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client is gone: nobody to tell
}

// Operator guards what changes something or shows payload: it needs the role
// operate. A browser is let through only for a page of this port itself, so that
// no foreign page acts with the hands of who looks at it. Who did not prove who it
// is may operate from where admin.operate says.
func (s *Server) Operator(next http.Handler) http.Handler {
	return access{s.operate(next), identity.Operate}
}

// Administrator guards as Operator does, and needs the role admin.
func (s *Server) Administrator(next http.Handler) http.Handler {
	return access{s.operate(next), identity.Admin}
}

func (s *Server) operate(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := identity.From(r.Context())
		if who == nil {
			s.logger.Error("BUG: an operator's route was added past Handle", "path", r.URL.Path)
			WriteProblem(w, http.StatusInternalServerError, "who makes this request was not asked: see the log of this process")
			return
		}
		// Reading is checked as changing is: what is guarded shows payload.
		as := r.Clone(r.Context())
		as.Method = http.MethodPost
		if err := crossOrigin.Check(as); err != nil {
			s.deny(w, r, DeniedOrigin, who, "%s %s: %v; a page of another origin may not do this: use the penstock command, or a client that is no browser", r.Method, r.URL.Path, err)
			return
		}
		switch s.o.Config.Operate {
		case OperateAny:
		case OperateOff:
			s.deny(w, r, DeniedOperate, who, "%s %s is an operator's action, and admin.operate of this process is off; ask another process, or set admin.operate", r.Method, r.URL.Path)
			return
		default:
			if why := foreign(r); why != "" && who.Method == identity.MethodAnonymous {
				s.deny(w, r, DeniedOperate, who, "%s %s is an operator's action, this request does not prove who makes it, and admin.operate is loopback: %s; run the command on that machine (kubectl exec or port-forward, ssh), bring a credential that auth believes, or set admin.operate to any where something else guards the port", r.Method, r.URL.Path, why)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// proxied are headers that a proxy on this machine, which makes every request one of
// this machine, adds to what it forwards.
var proxied = []string{"Forwarded", "Via", "X-Real-Ip", "X-Original-Forwarded-For", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip"}

// foreign says why a request may be from elsewhere; "" when it is from this machine.
func foreign(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return fmt.Sprintf("the peer %q has no address", r.RemoteAddr)
	}
	ip := peer.Addr().Unmap()
	if !ip.IsLoopback() && ip != local(r) {
		return fmt.Sprintf("the request is from %s", ip)
	}
	for h := range r.Header {
		if slices.Contains(proxied, h) || strings.HasPrefix(h, "X-Forwarded-") || strings.HasPrefix(h, "X-Envoy-") {
			return "a proxy has forwarded it (" + h + ")"
		}
	}
	if !plainHost(r.Host) {
		return fmt.Sprintf("it was made to the name %q, which is not localhost and no address", r.Host)
	}
	return ""
}

// local is the address at which the request arrived: a peer that has it too is
// on this machine.
func local(r *http.Request) netip.Addr {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// plainHost tells whether a Host header is one that no foreign name server can
// point here: an address, or localhost.
func plainHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	_, err := netip.ParseAddr(name)
	return err == nil || strings.EqualFold(name, "localhost") || strings.HasSuffix(strings.ToLower(name), ".localhost")
}

// ownName refuses what a browser was led to by a name that somebody else owns
// (DNS rebinding), on a port that only this machine reaches.
func (s *Server) ownName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at := local(r); at.IsLoopback() && s.onLoopback() && !plainHost(r.Host) {
			WriteProblem(w, http.StatusMisdirectedRequest, "this port is on loopback and is not %q: ask it as localhost or by its address", r.Host)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onLoopback tells whether the port listens for this machine alone.
func (s *Server) onLoopback() bool {
	at, err := netip.ParseAddrPort(s.Addr())
	return err == nil && at.Addr().Unmap().IsLoopback()
}

type peerKey struct{}

// withPeer notes who asks, for the log.
func withPeer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, r.RemoteAddr)))
	})
}

// Peer is the address that a request came from, "" outside of a request.
func Peer(ctx context.Context) string {
	peer, _ := ctx.Value(peerKey{}).(string)
	return peer
}
