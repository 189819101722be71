package main

import (
	"path/filepath"
	"strings"
)

// Admin is the listener for people and for what watches over mcpguard. Who is in
// none of the groups sees no more than that it lives, and whether it is ready.
type Admin struct {
	Listen  string
	Viewers []string // groups that may look
	Admins  []string // groups that may look and change
}

func (c *Config) admin() *Admin {
	if c.Admin == nil {
		c.Admin = &Admin{}
	}
	return c.Admin
}

// admin reads the groups of the admin listener.
func (l *loader) admin() {
	m := l.file.under(l.top, "admin")
	if m == nil {
		return
	}
	l.file.refuseUnknown(m, "admin", []string{"listen", "groups"})
	if n := m.get("groups"); n != nil {
		groups := l.file.mapping(n, "admin.groups")
		l.file.refuseUnknown(groups, "admin.groups", []string{"viewer", "admin"})
		a := l.config.admin()
		for key, into := range map[string]*[]string{"viewer": &a.Viewers, "admin": &a.Admins} {
			list := groups.get(key)
			if list == nil {
				continue
			}
			*into = l.file.texts(list, "admin.groups."+key)
			if len(list.Content) == 0 {
				l.file.wrong(list, "admin.groups."+key+" is empty: nobody is in it", "leave it out, or name a group")
			}
		}
		l.noteGroups(groups, a)
	}
	if m.get("listen") == nil && !l.given["admin.listen"] {
		l.file.wrong(l.file.at(l.top, "admin"), "admin has no listen", "admin: {listen: 127.0.0.1:8438, groups: {admin: [platform]}}")
	}
}

func (l *loader) noteGroups(groups *mapping, a *Admin) {
	if n := groups.get("viewer"); n != nil {
		l.noteList("admin.groups.viewer", n, a.Viewers)
	}
	if n := groups.get("admin"); n != nil {
		l.noteList("admin.groups.admin", n, a.Admins)
	}
}

// ControlPath is the control socket of the server that writes the store: in a
// folder beside it, which nobody else may enter. "" without a store.
func (c *Config) ControlPath() string { return controlPath(c.StorePath()) }

func controlPath(store string) string {
	if store == "" {
		return ""
	}
	return filepath.Join(store+".control", "socket")
}

// noteControl tells where the control socket is, as the store is written. It is no
// setting: it follows the store.
func (l *loader) noteControl() {
	for _, s := range l.config.settings {
		if s.Key == "store" {
			l.note("control", controlPath(strings.TrimPrefix(s.Value, "sqlite://")), origin{name: "beside the store"})
		}
	}
}
