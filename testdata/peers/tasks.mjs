// Calls tools as tasks with the TypeScript client of the v1 line, which checks
// every message against its schemas, and prints what it saw but for ids and times.
// Arguments: the endpoint.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema, CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js'

const client = new Client({ name: 'peer', version: '1' }, { capabilities: { elicitation: { form: {} } } })
client.setRequestHandler(ElicitRequestSchema, async request => {
  console.log('asked', request.params.message)
  return { action: 'accept', content: { interpretation: 'snake' } }
})
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])))
await client.listTools()
const tasks = client.experimental.tasks
const call = args => tasks.callToolStream({ name: 'simulate-research-query', arguments: args }, CallToolResultSchema, { task: { ttl: 60000 } })

const seen = []
let first
for await (const message of call({ topic: 'python', ambiguous: true })) {
  if (message.type === 'taskCreated') first = message.task.taskId
  if (message.type === 'taskStatus' && message.task.taskId !== first) throw new Error('another task')
  if (message.type === 'error') throw message.error
  if (message.type !== 'taskStatus') seen.push(message.type)
  if (message.type === 'result') console.log(JSON.stringify(message.result))
}
console.log(seen.join(' '))

for await (const message of call({ topic: 'go', ambiguous: false })) {
  if (message.type !== 'taskCreated') break
  const id = message.task.taskId
  console.log('listed', (await tasks.listTasks()).tasks.some(task => task.taskId === id))
  console.log('cancelled', (await tasks.cancelTask(id)).status)
  console.log('then', (await tasks.getTask(id)).status)
  break
}
const unknown = await tasks.getTask('nobody').catch(error => error.code)
console.log('unknown', unknown)
await client.close()
process.exit(0)
