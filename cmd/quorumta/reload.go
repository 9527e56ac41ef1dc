package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"quorumta/internal/config"
)

// reloaded are the keys that a reload takes over.
var reloaded = []string{"nets", "lists", "limits", "policy", "priorities", "pools", "lookups", "transports", "routers", "sites", "retry", "retry_limits", "dsn", "freeze", "rewrites", "dkim", "arc", "srs", "batv", "dns", "tls_reports", "log.level", "drain_grace"}

// onceRead are the keys that only a first start reads.
var onceRead = []string{"cluster.members", "cluster.shards", "cluster.replicas"}

// reload reads the file again and exchanges what can be while mail flows;
// sessions, transactions and attempts that have begun go on. Of a file that is
// not as it should be nothing is taken. What has changed beside that is named:
// it takes a restart, which costs nothing in a cluster.
func (n *node) reload() {
	var taken, fixed []string
	f, err := config.Load(n.file.Path(), n.file.Node)
	if err == nil {
		taken, _ = sorted(changes(n.loaded, f))
		_, fixed = sorted(changes(n.file, f)) // since the start, not since the last reload
		err = n.exchange(f)
	}
	if err != nil {
		n.log.Error("the configuration is not taken: the old one stays", "error", err)
		return
	}
	level := logLevel(f.Log.Level)
	n.loudness.Set(min(level, n.loudness.Level())) // the change itself is told
	defer n.loudness.Set(level)
	for _, w := range f.Warnings() {
		n.log.Warn(w)
	}
	n.log.Info("configuration reloaded", "changed", strings.Join(taken, " "))
	if len(fixed) > 0 {
		n.log.Warn("changes that take effect with a restart only", "keys", strings.Join(fixed, " "))
	}
}

// exchange takes over a file, or nothing of it.
func (n *node) exchange(f *config.File) error {
	for i, l := range n.file.Listeners {
		if l.Proxy != "" && f.Nets[l.Proxy] == nil {
			return fmt.Errorf("listener %d (%s) runs with proxy: %s, and there is no such net any more: restart the node", i+1, l.Name, l.Proxy)
		}
	}
	accept, err := policyOf(f)
	if err != nil {
		return err
	}
	deliver, err := n.rulesOf(f)
	if err != nil {
		return err
	}
	n.smtp.SetPolicy(accept)
	n.smtp.SetLimits(limitsOf(f))
	n.delivery.SetRules(deliver)
	n.env.Store(f.Env())
	n.grace.Store(int64(f.DrainGrace))
	return nil
}

// changes are the keys in which two files differ: "nets", "keep.history".
func changes(a, b *config.File) []string {
	return differ(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "")
}

func differ(a, b reflect.Value, above string) []string {
	var keys []string
	for field, value := range a.Fields() {
		tag, other := field.Tag.Get("yaml"), b.FieldByIndex(field.Index)
		if tag == "" || reflect.DeepEqual(value.Interface(), other.Interface()) {
			continue
		}
		key := above + tag
		if value.Kind() == reflect.Struct && above == "" && !slices.Contains(reloaded, key) {
			keys = append(keys, differ(value, other, key+".")...)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// sorted tells keys that a reload takes over from those that take a restart.
func sorted(keys []string) (taken, fixed []string) {
	for _, key := range keys {
		switch {
		case slices.Contains(reloaded, key):
			taken = append(taken, key)
		case !slices.Contains(onceRead, key):
			fixed = append(fixed, key)
		}
	}
	return taken, fixed
}
