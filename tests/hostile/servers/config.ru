# What an application under a Rack server can read of a request, behind the middleware that believes in another method.
require 'json'
require 'rack'

use Rack::MethodOverride
run(lambda do |env|
  request = Rack::Request.new(env)
  strings = env.select { |_, value| value.is_a?(String) }
  said = { env: strings, query: request.GET, cookies: request.cookies, address: request.ip, host: request.host }
  [200, { 'Content-Type' => 'application/json' }, [JSON.generate(said)]]
end)
