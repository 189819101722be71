// client.mjs: the TypeScript clients as a peer.
//
//   node --input-type=module - v1 URL < client.mjs             @modelcontextprotocol/sdk, legacy only
//   node --input-type=module - v2:legacy|v2:auto|v2:PIN URL     @modelcontextprotocol/client
//
// Lists the tools, calls those in CALLS (a JSON array of {name, arguments}),
// and prints one JSON object: the negotiated version where the client tells it,
// the tools and each result.
// Run in the folder with node_modules, which is where the imports are looked up.

const [mode, url] = process.argv.slice(2);
const calls = JSON.parse(process.env.CALLS ?? '[]');
const about = { name: 'mcpguard-peer', version: '1.0.0' };

async function connect() {
  if (mode === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const client = new Client(about);
    await client.connect(new StreamableHTTPClientTransport(new URL(url)));
    return client;
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const era = mode.slice('v2:'.length);
  const negotiation = { mode: era === 'legacy' || era === 'auto' ? era : { pin: era } };
  const client = new Client(about, { versionNegotiation: negotiation });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return client;
}

const client = await connect();
const { tools } = await client.listTools();
const results = [];
for (const call of calls) {
  try {
    results.push(await client.callTool(call));
  } catch (error) {
    results.push({ code: error.code, message: error.message });
  }
}
const version = client.getNegotiatedProtocolVersion?.();
console.log(JSON.stringify({ version, server: client.getServerVersion(), tools, results }));
await client.close();
