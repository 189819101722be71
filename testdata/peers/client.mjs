// client.mjs: the TypeScript clients as a peer.
//
//   node --input-type=module - v1 SERVER < client.mjs             @modelcontextprotocol/sdk, legacy only
//   node --input-type=module - v2:legacy|v2:auto|v2:PIN SERVER     @modelcontextprotocol/client
//
// SERVER is a URL, or a JSON array: the command line of a server over stdio.
// Lists the tools, calls those in CALLS (a JSON array of {name, arguments}),
// and prints one JSON object: the negotiated version where the client tells it,
// the tools and each result.
// Run in the folder with node_modules, which is where the imports are looked up.

const [mode, server] = process.argv.slice(2);
const calls = JSON.parse(process.env.CALLS ?? '[]');
const about = { name: 'mcpguard-peer', version: '1.0.0' };

async function transport(http, stdio) {
  if (!server.startsWith('[')) {
    const { StreamableHTTPClientTransport } = await import(http);
    return new StreamableHTTPClientTransport(new URL(server));
  }
  const { StdioClientTransport } = await import(stdio);
  const [command, ...args] = JSON.parse(server);
  return new StdioClientTransport({ command, args, stderr: 'ignore' });
}

async function connect() {
  if (mode === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const client = new Client(about);
    await client.connect(await transport('@modelcontextprotocol/sdk/client/streamableHttp.js', '@modelcontextprotocol/sdk/client/stdio.js'));
    return client;
  }
  const { Client } = await import('@modelcontextprotocol/client');
  const era = mode.slice('v2:'.length);
  const negotiation = { mode: era === 'legacy' || era === 'auto' ? era : { pin: era } };
  const client = new Client(about, { versionNegotiation: negotiation });
  await client.connect(await transport('@modelcontextprotocol/client', '@modelcontextprotocol/client/stdio'));
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
