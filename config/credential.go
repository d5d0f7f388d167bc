package config

import "strings"

var keychains = []string{"ecr", "google", "azure"}

var credentialKeys = []string{"username", "password", "password_file", "docker_config", "keychain"}

// maxCredentials is where a list of accounts would be a way round a limit.
const maxCredentials = 8

// maxDockerConfigBytes bounds a config.json: those of people with many clusters have some
// hundred KiB.
const maxDockerConfigBytes = 1 << 20

// Credential is one account at an upstream: a user name with its password, or the place
// where there is one.
type Credential struct {
	// Username and Password are both set or both empty. The name holds no colon.
	Username string
	// Password comes from `password` or from the file that `password_file` names.
	Password Secret
	// DockerConfigFile is the path of a file like Docker's config.json, DockerConfig what it
	// holds, which Parse leaves empty.
	DockerConfigFile string
	DockerConfig     Secret
	// Keychain is where a cloud's login is asked for: ecr, google or azure; empty is none.
	Keychain string
}

// String is whose the credential is, or where it comes from.
func (c Credential) String() string {
	switch {
	case c.DockerConfigFile != "":
		return "docker_config " + c.DockerConfigFile
	case c.Keychain != "":
		return "keychain " + c.Keychain
	}
	return c.Username
}

// credential reads an account, all of it or none, and tells whether there is one. What
// expands to nothing counts as absent, so that ${USER:-} and ${PASSWORD:-} together mean
// anonymous.
func (f fields) credential() (c Credential, found bool) {
	var password, file string
	username, plain, passwordFile, docker := f.get("username"), f.get("password"), f.get("password_file"), f.get("docker_config")
	fine := username.text(&c.Username)
	fine = plain.text(&password) && fine
	fine = passwordFile.filePath(&file) && fine
	fine = docker.filePath(&c.DockerConfigFile) && fine
	fine = f.get("keychain").keychain(&c.Keychain) && fine
	if !fine {
		return c, false
	}
	switch {
	case c.Keychain != "" && (c.DockerConfigFile != "" || c.Username != "" || password != "" || file != ""):
		f.get("keychain").faultf("stands beside another login; keep one of them")
	case c.DockerConfigFile != "" && (c.Username != "" || password != "" || file != ""):
		docker.faultf("stands beside a username or a password; keep one of the two")
	case password != "" && file != "":
		passwordFile.faultf("stands beside password; keep one of the two")
	case password != "" && c.Username == "":
		plain.faultf("has no username beside it; write one, or remove the password for anonymous pulls")
	case file != "" && c.Username == "":
		passwordFile.faultf("has no username beside it; write one, or remove the file for anonymous pulls")
	case password == "" && file == "" && c.Username != "":
		username.faultf("has no password beside it; write password or password_file, or remove the username for anonymous pulls")
	case strings.Contains(c.Username, ":"):
		username.faultf("holds a colon, which HTTP logins cannot carry; write the name alone, and the password as password")
	}
	if file != "" && f.at.open {
		password = passwordFile.password(file)
	}
	if c.DockerConfigFile != "" && f.at.open {
		data, _ := docker.read(c.DockerConfigFile, maxDockerConfigBytes)
		c.DockerConfig = NewSecret(string(data))
	}
	c.Password = NewSecret(password)
	return c, c.Username != "" || c.DockerConfigFile != "" || c.Keychain != ""
}

// keychain reads the name of one, which may expand to nothing.
func (v value) keychain(into *string) bool {
	var s string
	if !v.word(&s) {
		return false
	}
	return s == "" || v.choice(into, keychains)
}

// credentials reads the accounts of u: its own, then those of the list.
func (f fields) credentials(u *Upstream) {
	taken := map[string]int{}
	add := func(of fields, line int) {
		c, found := of.credential()
		if !found {
			return
		}
		if first, twice := taken[c.String()]; twice {
			of.at.faultf("is %s again, first in line %d; keep one", show(c.String()), first)
			return
		}
		taken[c.String()] = line
		u.Credentials = append(u.Credentials, c)
	}
	add(f, f.at.line)
	list := f.get("credentials")
	items, _ := list.items()
	if len(items) > maxCredentials {
		list.faultf("has more than %d accounts; keep those that are needed", maxCredentials)
		return
	}
	for _, item := range items {
		if of := item.fields(credentialKeys); of.of != nil {
			add(of, item.line)
		}
	}
	if len(u.Credentials) > 0 && u.URL != nil && u.URL.Scheme == "http" && !u.Private {
		f.get("url").faultf("would send the password in clear text; write https://, or private: true if %s is in your own network", u.URL.Hostname())
	}
}

// account is what an upstream's content is kept under, besides its URL.
func (u Upstream) account() string {
	if len(u.Credentials) == 0 {
		return ""
	}
	return u.Credentials[0].String()
}
