package upstreamtest

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// repository is one repository's content. It is guarded by the Registry's mutex; byte
// slices in it are never changed.
type repository struct {
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]manifest
	tags      map[string]digest.Digest
}

type manifest struct {
	mediaType string
	body      []byte
}

// AddBlob puts content into repo, making the repository if needed.
func (r *Registry) AddBlob(repo string, content []byte) digest.Digest {
	d := digest.FromBytes(content)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repo(repo).blobs[d] = slices.Clone(content)
	return d
}

// AddManifest puts a manifest into repo and, unless tag is empty, points tag to it.
// Nothing is asked of body: it may be no manifest at all.
func (r *Registry) AddManifest(repo, tag, mediaType string, body []byte) digest.Digest {
	d := digest.FromBytes(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.repo(repo)
	p.manifests[d] = manifest{mediaType: mediaType, body: slices.Clone(body)}
	if tag != "" {
		p.tags[tag] = d
	}
	return d
}

// Tag points tag to d, which need not exist.
func (r *Registry) Tag(repo, tag string, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repo(repo).tags[tag] = d
}

// RemoveTag removes a tag; what it pointed to stays.
func (r *Registry) RemoveTag(repo, tag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.repo(repo).tags, tag)
}

// RemoveContent removes the blob or manifest d; tags that point to it stay.
func (r *Registry) RemoveContent(repo string, d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.repo(repo).blobs, d)
	delete(r.repo(repo).manifests, d)
}

// RemoveRepository removes repo with all that is in it.
func (r *Registry) RemoveRepository(repo string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.repos, repo)
}

// repo returns the repository, making it if needed. r.mu is held.
func (r *Registry) repo(name string) *repository {
	p, ok := r.repos[name]
	if !ok {
		p = &repository{
			blobs:     map[digest.Digest][]byte{},
			manifests: map[digest.Digest]manifest{},
			tags:      map[string]digest.Digest{},
		}
		r.repos[name] = p
	}
	return p
}

func (r *Registry) exists(repo string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.repos[repo]
	return ok
}

// find returns a manifest by tag or digest.
func (r *Registry) find(repo, reference string) (digest.Digest, manifest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.repos[repo]
	if !ok {
		return "", manifest{}, false
	}
	d, tagged := p.tags[reference]
	if !tagged {
		d = digest.Digest(reference)
	}
	m, ok := p.manifests[d]
	return d, m, ok
}

func (r *Registry) blob(repo string, d digest.Digest) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.repos[repo]
	if !ok {
		return nil, false
	}
	content, ok := p.blobs[d]
	return content, ok
}

// anyBlob finds d in whichever repository has it.
func (r *Registry) anyBlob(d digest.Digest) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.repos {
		if content, ok := p.blobs[d]; ok {
			return content, true
		}
	}
	return nil, false
}
