// Package nginx runs nginx before a registry, as people do: with TLS and HTTP/2, or as a
// content delivery network to which the registry redirects for blobs.
package nginx
