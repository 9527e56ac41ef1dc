package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerKey is the context key of who asks: a user at the socket, or the name in
// a certificate. What operators do goes on record, and what they say of
// themselves is not enough for that.
type peerKey struct{}

// attributed is who does something: as they say, and as we know.
func attributed(ctx context.Context, said string) string {
	known, _ := ctx.Value(peerKey{}).(string)
	switch {
	case known == "" || known == said:
		return said
	case said == "":
		return known
	}
	return said + " (" + known + ")"
}

// withPeer notes the user at the other end of a Unix socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	local, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := local.SyscallConn()
	if err != nil {
		return ctx
	}
	var who string
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = login(strconv.FormatUint(uint64(cred.Uid), 10))
		}
	})
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, who)
}

func login(uid string) string {
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid
}

// acting are the procedures that change something.
var acting = map[string]bool{
	"/v1/ClusterDrain": true, "/v1/ClusterTransfer": true, "/v1/QueueAct": true, "/v1/QueueResume": true,
	"/v1/QueueReroute": true, "/v1/QueueEdit": true,
	"/v1/ClusterToken": true, "/v1/ClusterRemove": true, "/v1/ClusterShards": true,
	"/v1/ClusterUpgradeFinish": true, "/v1/ClusterSkip": true, "/v1/ClusterBackup": true,
}

// witnessed notes the name in a client's certificate, and logs who changes
// something.
func witnessed(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			who := "certificate " + r.TLS.PeerCertificates[0].Subject.CommonName
			r = r.WithContext(context.WithValue(r.Context(), peerKey{}, who))
		}
		if acting[r.URL.Path] {
			log.InfoContext(r.Context(), "operator", "method", r.URL.Path, "by", attributed(r.Context(), ""))
		}
		next.ServeHTTP(w, r)
	})
}
