package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/awslabs/amazon-ecr-credential-helper/ecr-login/api"
)

// publicRegion is the only one whose API gives logins for public.ecr.aws.
const publicRegion = "us-east-1"

// ECR is the login that AWS gives for its registries, to who the environment says we are:
// variables, a profile, a role of the pod or the machine. It lasts 12 hours.
func ECR() Credential {
	return keychain{
		kind: "ecr", hosts: "registries of Amazon ECR",
		owns: func(host string) bool {
			_, err := api.ExtractRegistry(host)
			return err == nil
		},
		find: func(ctx context.Context, c *Client) (found, error) { return askECR(ctx, c.base.Hostname()) },
	}.credential()
}

// askECR uses the credential helper's knowledge of hosts, and not the helper: that has a
// cache of its own on disk, logs its errors instead of returning them, and takes no context.
func askECR(ctx context.Context, host string) (found, error) {
	registry, err := api.ExtractRegistry(host)
	if err != nil {
		return found{}, err
	}
	public := registry.Service == api.ServiceECRPublic
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(awsClient()), config.WithRegion(registry.Region)}
	if public {
		options[1] = config.WithRegion(publicRegion)
	}
	if registry.FIPS {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return found{}, err
	}
	if public {
		out, err := api.NewECRPublicClientWrapper(ecrpublic.NewFromConfig(cfg)).GetAuthorizationToken(ctx, nil)
		if err != nil {
			return found{}, err
		}
		if out.AuthorizationData == nil {
			return found{}, errNoLogin
		}
		return ecrLogin(out.AuthorizationData.AuthorizationToken, out.AuthorizationData.ExpiresAt)
	}
	out, err := api.NewECRClientWrapper(ecr.NewFromConfig(cfg)).GetAuthorizationToken(ctx, nil)
	if err != nil {
		return found{}, err
	}
	if len(out.AuthorizationData) == 0 {
		return found{}, errNoLogin
	}
	return ecrLogin(out.AuthorizationData[0].AuthorizationToken, out.AuthorizationData[0].ExpiresAt)
}

// awsClient is vendorClient as AWS wants it, so that AWS_CA_BUNDLE counts.
func awsClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
}

// ecrLogin reads a token, which is "user:password" in base64.
func ecrLogin(token *string, expires *time.Time) (found, error) {
	plain, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	user, password, ok := strings.Cut(string(plain), ":")
	if err != nil || !ok {
		return found{}, errors.New("AWS gave a token of an unknown form")
	}
	return found{Username: user, Password: password, Expires: aws.ToTime(expires)}, nil
}
