package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/credentials"
	"github.com/docker/docker-credential-helpers/client"
	helpers "github.com/docker/docker-credential-helpers/credentials"
	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	hubHost = "registry-1.docker.io"
	// helperDelay is how long a helper that was told to end may keep its output open.
	helperDelay = time.Second
)

// hubKeys are what Docker Hub's login is filed under, in the order of preference.
var hubKeys = []string{authn.DefaultAuthKey, "docker.io", "index.docker.io", hubHost}

var validHelper = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// DockerConfig is the login that a file like Docker's config.json has for the upstream's
// host: an entry of auths, or what a program, docker-credential-…, gives where credHelpers
// or credsStore names one. data is what the file at path holds.
func DockerConfig(path, data string) Credential {
	return Credential{func(c *Client) (*source, error) {
		s, err := dockerSource(data, c.base.Host)
		if err != nil {
			return nil, fmt.Errorf("docker_config %s: %w", path, err)
		}
		s.kind, s.cure = "docker_config", "check docker_config"
		return s, nil
	}}
}

func dockerSource(data, host string) (*source, error) {
	file := configfile.New("")
	if err := file.LoadFromReader(strings.NewReader(data)); err != nil { // which may quote the file
		return nil, errors.New("is not what Docker writes as config.json; run docker login, or mend it")
	}
	keys := []string{host}
	if host == hubHost {
		keys = hubKeys
	}
	if helper, key := helperOf(file, keys); helper != "" {
		if !validHelper.MatchString(helper) {
			return nil, errors.New("names a credential helper that is no name of a program")
		}
		return &source{
			user: "\ndocker-credential-" + helper,
			find: func(ctx context.Context) (found, error) { return askHelper(ctx, helper, key) },
		}, nil
	}
	for _, key := range keys {
		auth, err := credentials.NewFileStore(file).Get(key)
		if err != nil {
			return nil, err
		}
		login := authn.AuthConfig{Username: auth.Username, Password: auth.Password, IdentityToken: auth.IdentityToken}
		if login != (authn.AuthConfig{}) {
			return &source{user: cmp.Or(auth.Username, "\nidentity token"), fixed: &login}, nil
		}
		if auth.RegistryToken != "" {
			return nil, fmt.Errorf("has a registrytoken for %s, which nobody could renew; run docker login", key)
		}
	}
	return nil, fmt.Errorf("%w for %s; run docker login %s", errNoLogin, keys[0], host)
}

// helperOf is the program that has the login, and under which key.
func helperOf(file *configfile.ConfigFile, keys []string) (helper, key string) {
	for _, key := range keys {
		if helper := file.CredentialHelpers[key]; helper != "" {
			return helper, key
		}
	}
	return file.CredentialsStore, keys[0]
}

// askHelper runs a credential helper. What it says instead of a login may be anything, and
// is not repeated.
func askHelper(ctx context.Context, helper, key string) (found, error) {
	name := "docker-credential-" + helper
	if _, err := exec.LookPath(name); err != nil {
		return found{}, fmt.Errorf("there is no program %s in the PATH of berth", name)
	}
	login, err := client.Get(func(args ...string) client.Program { return newProgram(ctx, name, args) }, key)
	switch {
	case helpers.IsErrCredentialsNotFound(err):
		return found{}, fmt.Errorf("%s has no login for %s", name, key)
	case err != nil:
		return found{}, fmt.Errorf("%s gave none; run echo %s | %s get to see why", name, key, name)
	case login.Username == "<token>":
		return found{IdentityToken: login.Secret}, nil
	}
	return found{Username: login.Username, Password: login.Secret}, nil
}

// program is a helper that ends with its context.
type program struct{ *exec.Cmd }

var _ client.Program = program{}

func newProgram(ctx context.Context, name string, args []string) program {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = helperDelay
	return program{cmd}
}

// Input implements client.Program.
func (p program) Input(in io.Reader) { p.Stdin = in }
