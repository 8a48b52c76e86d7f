import os,fcntl,struct,subprocess,socket,time,random,sys
V='/tmp/wt-nftc/target/debug/vpmesh'; R='/tmp/nftc/s.toml'
rnd=random.Random(int(sys.argv[1]))
ports=[22,53,80,443,445,25,5000,5005,123]
svc=['tcp/22','tcp/80','tcp/443','tcp/400-450','udp/53','udp/5000-5010','udp/123','any','tcp/25','tcp/20-30','udp/1-60000']
near=['alice','alice/attic/nas','alice/attic/pc','alice/attic/nas/web','tag:shared','10.88.1.0/28','10.88.1.12/32','kind:station']
far=['internet','192.0.2.0/24','198.51.100.0/25','198.51.100.0/24','203.0.113.7/32','any','alice/attic/pc','tag:shared','198.0.0.0/8']
def pol(name,d,n):
    out=''
    if n==0: return f'{d} = []\n'
    rs=[]
    for i in range(n):
        a='deny' if rnd.random()<.35 else 'allow'
        fr,to=(near,far) if d=='egress' else (far,near)
        r=f'{{ {a} = {[rnd.choice(svc) for _ in range(rnd.randint(1,2))]}'.replace("'",'"')
        if rnd.random()<.6: r+=f', from = "{rnd.choice(fr)}"'
        if rnd.random()<.6: r+=f', to = "{rnd.choice(to)}"'
        if rnd.random()<.2: r+=', log = true'
        rs.append(r+' }')
    return f'{d} = [{", ".join(rs)}]\n'
def pp(many=False):
    s=''
    for d in ('egress','ingress'):
        if many or rnd.random()<.6: s+=pol('',d,rnd.choice([30,40]) if many else rnd.choice([0,3,6,14]))
    return s
t='owner = "alice"\nserial = 1\nipv4 = "10.88.0.0/16"\n'+pp(True)+'[[room]]\nname = "attic"\n'+pp()+'[[room.gateway]]\nname = "gw"\nkey = "YB3rKYLzCWDpuu6GvMSmEw3wTjCDqX7IfTFRKcGOJTk="\nendpoints = ["192.0.2.1:51888"]\nipv4 = "10.88.1.1"\n'
t+='[[room.station]]\nname = "nas"\nlan = true\nipv4 = "10.88.1.10"\ntags = ["shared"]\n'+pp()+'[[room.station.application]]\nname = "web"\nipv4 = "10.88.1.11"\n'+pp()
t+='[[room.station]]\nname = "pc"\nlan = true\nipv4 = "10.88.1.12"\n'+pp()+'[[room.station]]\nname = "tv"\nlan = true\nipv4 = "10.88.1.20"\ntags = ["shared"]\n'
open(R,'w').write(t)
js=subprocess.run([V,'ruleset','--node','alice/attic/gw','--roster',R,'--json'],capture_output=True,text=True)
assert js.returncode==0,js.stderr
def sh(c): subprocess.run(c,shell=True,check=True)
def tun(n):
    f=os.open('/dev/net/tun',os.O_RDWR|os.O_NONBLOCK); fcntl.ioctl(f,0x400454ca,struct.pack('16sH22x',n.encode(),0x1001)); sh(f'ip link set {n} up'); return f
sh('ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0')
F={n:tun(n) for n in('wan0','lan0','lan1')}
sh('ip addr add 172.31.0.1/32 dev lan0; ip route add default dev wan0; ip route add 10.88.1.10 dev lan0; ip route add 10.88.1.11 dev lan0; ip route add 10.88.1.12 dev lan1; ip route add 10.88.1.20 dev lan1')
r=subprocess.run(['nft','-j','-f','-'],input=js.stdout,text=True,capture_output=True); assert r.returncode==0,r.stderr[:500]
at={'10.88.1.10':'lan0','10.88.1.11':'lan0','10.88.1.12':'lan1','10.88.1.20':'lan1','192.0.2.9':'wan0','198.51.100.5':'wan0','198.51.100.200':'wan0','203.0.113.7':'wan0','8.8.8.8':'wan0'}
def ck(b):
    s=sum(struct.unpack('!%dH'%(len(b)//2),b)); s=(s>>16)+(s&65535); s+=s>>16; return ~s&65535
def pkt(s,d,proto,sp,dp):
    S,D=socket.inet_aton(s),socket.inet_aton(d)
    l4=struct.pack('!HHHH',sp,dp,8,0) if proto==17 else struct.pack('!HHIIBBHHH',sp,dp,1,0,0x50,2,65535,0,0)
    ph=S+D+struct.pack('!BBH',0,proto,len(l4)); c=ck(ph+l4)
    l4=l4[:6]+struct.pack('!H',c) if proto==17 else l4[:16]+struct.pack('!H',c)+l4[18:]
    h=struct.pack('!BBHHHBBH4s4s',0x45,0,20+len(l4),0,0x4000,64,proto,0,S,D); h=h[:10]+struct.pack('!H',ck(h))+h[12:]
    return h+l4
flows=[];n=10000
A=list(at)
for i in range(60):
    s,d=rnd.sample(A,2)
    if at[s]=='wan0' and at[d]=='wan0': continue
    p=rnd.choice([6,17]); dp=rnd.choice(ports); n+=1
    e=subprocess.run([V,'explain',s,d,('tcp/' if p==6 else 'udp/')+str(dp),'--roster',R],capture_output=True,text=True)
    flows.append((n,s,d,p,dp,e.returncode==0,e.stdout))
for f in flows: os.write(F[at[f[1]]],pkt(f[1],f[2],f[3],f[0],f[4]))
time.sleep(.5); seen={}
for nme,fd in F.items():
    while True:
        try:b=os.read(fd,2048)
        except BlockingIOError:break
        if b[0]>>4==4: seen[struct.unpack('!H',b[20:22])[0]]=nme
bad=[f for f in flows if (seen.get(f[0])==at[f[2]])!=f[5]]
print(sys.argv[1],len(flows),'flows',sum(f[5] for f in flows),'allowed',len(bad),'wrong')
for f in bad[:3]: print(f[:6],f[6])
if bad: open('/tmp/nftc/bad.nft','w').write(subprocess.run(['nft','list','table','inet','vpmesh'],capture_output=True,text=True).stdout)
