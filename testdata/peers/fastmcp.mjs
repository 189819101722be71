// fastmcp.mjs PORT: a server made with fastmcp, over Streamable HTTP on loopback.

import { FastMCP, UserError, imageContent } from 'fastmcp';
import { z } from 'zod';

const server = new FastMCP({ name: 'fastmcp-peer', version: '1.0.0', instructions: 'Adds & <counts>.' });
server.addTool({
  name: 'add',
  description: 'Adds two numbers',
  parameters: z.object({ a: z.number(), b: z.number() }),
  annotations: { readOnlyHint: true, title: 'Add' },
  execute: async ({ a, b }) => String(a + b),
});
server.addTool({
  name: 'count',
  description: 'Counts with progress',
  parameters: z.object({ to: z.number() }),
  execute: async ({ to }, { log, reportProgress }) => {
    for (let i = 1; i <= to; i++) {
      log.info('counting', { i });
      await reportProgress({ progress: i, total: to });
    }
    return { content: [{ type: 'text', text: `counted to ${to}` }, { type: 'text', text: 'done' }] };
  },
});
server.addTool({
  name: 'picture',
  description: 'A picture of one pixel',
  execute: async () => imageContent({ buffer: Buffer.from('R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==', 'base64') }),
});
server.addTool({
  name: 'fail',
  description: 'Fails',
  execute: async () => {
    throw new UserError('it failed, as it was asked to');
  },
});
server.addResource({
  uri: 'file:///notes.txt',
  name: 'Notes',
  mimeType: 'text/plain',
  load: async () => ({ text: 'first line\nsecond <line>' }),
});
server.addResourceTemplate({
  uriTemplate: 'file:///notes/{name}.txt',
  name: 'A note',
  mimeType: 'text/plain',
  arguments: [{ name: 'name', description: 'Name of the note', required: true }],
  load: async ({ name }) => ({ text: `a note called ${name}` }),
});
server.addPrompt({
  name: 'commit',
  description: 'Words for a commit',
  arguments: [{ name: 'changes', description: 'What changed', required: true }],
  load: async ({ changes }) => `Describe in one line:\n\n${changes}`,
});
await server.start({ transportType: 'httpStream', httpStream: { port: Number(process.argv[2]), host: '127.0.0.1' } });
