-- The signature of GitHub: "sha256=" and the lower-case hex HMAC-SHA256 of the body.
local ffi = require "ffi"
local crypto = ffi.load "@crypto@"
ffi.cdef [[
  typedef struct hmac_ctx_st HMAC_CTX;
  typedef struct evp_md_st EVP_MD;
  HMAC_CTX *HMAC_CTX_new(void);
  const EVP_MD *EVP_sha256(void);
  int HMAC_Init_ex(HMAC_CTX *ctx, const void *key, int len, const EVP_MD *md, void *engine);
  int HMAC_Update(HMAC_CTX *ctx, const char *data, size_t len);
  int HMAC_Final(HMAC_CTX *ctx, unsigned char *md, unsigned int *len);
  int CRYPTO_memcmp(const void *a, const void *b, size_t len);
  unsigned char *ngx_hex_dump(unsigned char *dst, const unsigned char *src, size_t len);
]]
local secret = "@secret@"
local context
local digest, hex = ffi.new "unsigned char[64]", ffi.new "unsigned char[128]"

return function()
  local given = ngx.var.http_x_hub_signature_256
  if not given or #given ~= 71 or given:sub(1, 7) ~= "sha256=" then return ngx.exit(401) end
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or ""
  if context then
    -- Without a key: the prepared one again.
    crypto.HMAC_Init_ex(context, nil, 0, nil, nil)
  else
    context = crypto.HMAC_CTX_new()
    crypto.HMAC_Init_ex(context, secret, #secret, crypto.EVP_sha256(), nil)
  end
  crypto.HMAC_Update(context, body, #body)
  crypto.HMAC_Final(context, digest, nil)
  ffi.C.ngx_hex_dump(hex, digest, 32)
  if crypto.CRYPTO_memcmp(hex, given:sub(8), 64) ~= 0 then return ngx.exit(401) end
end
