// client.mjs: the TypeScript clients as a peer.
//
//   node --input-type=module - v1 SERVER < client.mjs             @modelcontextprotocol/sdk, legacy only
//   node --input-type=module - v2:legacy|v2:auto|v2:PIN SERVER     @modelcontextprotocol/client
//
// SERVER is a URL, or a JSON array: the command line of a server over stdio.
// Lists the tools, calls those in CALLS (a JSON array of {name, arguments}) with
// progress asked for, reads RESOURCE, gets PROMPT, answers what the server asks,
// and prints one JSON object: the negotiated version where the client tells it,
// what came of each, and what was asked and told meanwhile.
// Run in the folder with node_modules, which is where the imports are looked up.

const [mode, server] = process.argv.slice(2);
const calls = JSON.parse(process.env.CALLS ?? '[]');
const about = { name: 'mcpguard-peer', version: '1.0.0' };
const capabilities = { elicitation: {}, sampling: {} };
const asked = [];
const v1 = mode === 'v1';

function elicit({ params }) {
  asked.push(params.message);
  return { action: 'accept', content: { username: 'sam', email: 'sam@example.com', name: 'sam' } };
}

function sample({ params }) {
  asked.push(params.messages);
  return { role: 'assistant', model: 'none', content: { type: 'text', text: 'an answer' } };
}

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
  if (v1) {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { CreateMessageRequestSchema, ElicitRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
    const client = new Client(about, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, elicit);
    client.setRequestHandler(CreateMessageRequestSchema, sample);
    await client.connect(await transport('@modelcontextprotocol/sdk/client/streamableHttp.js', '@modelcontextprotocol/sdk/client/stdio.js'));
    return client;
  }
  const { Client } = await import('@modelcontextprotocol/client');
  const era = mode.slice('v2:'.length);
  const negotiation = { mode: era === 'legacy' || era === 'auto' ? era : { pin: era } };
  const client = new Client(about, { capabilities, versionNegotiation: negotiation });
  client.setRequestHandler('elicitation/create', elicit);
  client.setRequestHandler('sampling/createMessage', sample);
  await client.connect(await transport('@modelcontextprotocol/client', '@modelcontextprotocol/client/stdio'));
  return client;
}

// settle is what came of something, success or failure.
async function settle(doing) {
  try {
    return await doing();
  } catch (error) {
    return { code: error.code, message: error.message };
  }
}

const client = await connect();
const { tools } = await client.listTools();
const progress = [];
const options = { onprogress: (step) => progress.push(step) };
const results = [];
for (const call of calls) {
  results.push(await settle(() => (v1 ? client.callTool(call, undefined, options) : client.callTool(call, options))));
}
const { RESOURCE: uri, PROMPT: prompt } = process.env;
const resource = uri && (await settle(() => client.readResource({ uri })));
const missing = uri && (await settle(() => client.readResource({ uri: `${uri}/none` })));
const words = prompt && (await settle(() => client.getPrompt({ name: prompt })));
const version = client.getNegotiatedProtocolVersion?.();
console.log(JSON.stringify({ version, server: client.getServerVersion(), tools, results, progress, asked, resource, missing, prompt: words }));
await client.close();
